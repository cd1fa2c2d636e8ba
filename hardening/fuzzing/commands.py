"""Command lines: made from the parser, so that no command or option is left out."""

import argparse
import random
import shutil
from pathlib import Path

from hardening.fuzzing import material
from hardening.fuzzing.mutation import NUMBERS, TEXTS, misspelled
from hardening.fuzzing.pictures import make_pictures
from hardening.fuzzing.worker import Place, command

# By option: words that it may have been made for. What would make a command run for minutes is left
# out: a training of a million epochs is no fault of ours.
RIGHT = {
    "model": ("lenet5", "mlp", "{seeds}/run", "{seeds}/run.yaml", "lenet_1989", "lenet5/mnist"),
    "names": ("lenet5/mnist", "mlp/mnist", "{seeds}/run", "lenet5", "alexnet/document"),
    "config": ("{seeds}/run.yaml", "{seeds}/run/config.yaml"),
    "dataset": ("tiny", "mnist", "folder:{seeds}/pictures", "tfds:mnist", "hf:a/b", "tiny_rgb"),
    "weights": ("mnist", "{seeds}/run", "{seeds}/run/best.weights.h5", "https://example.com/x.h5"),
    "sha256": ("0" * 64, "0" * 63, "A" * 64),
    "epochs": ("1", "2", "0", "-1", "one", "9" * 30, "1.0", "²"),
    "seed": ("0", "1", "-1", "4294967296", "0x10"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16", "float8"),
    "distribute": ("none", "devices", "workers"),
    "out": ("out", "out/deep/er", "out.h5", ".", "{seeds}/run", "a\nb", "x" * 300, "{seeds}/file"),
    "resume": ("{seeds}/run", "{seeds}", "nothing"),
    "device": ("cpu", "auto", "gpu", "gpu:7", "gpu:-1", "tpu"),
    "backend": ("tensorflow", "jax", "torch", "theano"),
    "study": ("{seeds}/study.yaml", "overfitting2", "{seeds}/run.yaml"),
    "images": ("{seeds}/picture.png", "{seeds}/file", "{seeds}", "5", "all", "0", "-3"),
    "image": ("{seeds}/picture.png", "{seeds}/file"),
    "runs": ("{seeds}/run", "{seeds}/other"),
    "file": ("{seeds}/run/best.weights.h5", "{seeds}/file", "{seeds}/run/model.keras"),
    "top": ("1", "3", "0", "99999999999999999999", "x"),
    "layer": ("C1", "S2", "F5", "output", "c1"),
    "filter": ("sobel_x", "emboss", "sobel"),
    "method": ("fgsm", "pgd", "both", "cw"),
    "strengths": ("0", "0,0.1", "0.1,", "nan", "-1", "1e30", ",", "0,1,2"),
    "steps": ("1", "2", "0", "-1", "x"),
    "kinds": ("shift", "noise", "shift,noise", "blur", ","),
}
SET = (
    "data.batch_size=7", "model.num_classes=3", "model.pooling=max", "trainer.seed=3",
    "data.validation_split=0.2", "compile.optimizer.config.learning_rate=0.5",
    "model.conv_maps.0=3",
    "data.preprocessing=[]", "model.dense_units=[5]", "compile.loss=mean_squared_error",
    "compile.metrics=[accuracy]", "trainer.precision=float16", "data.class_names=[a, b]",
    "model.input_shape=[32, 32, 3]", "image.fit=cover", "trainer.freeze=all-but-head",
)  # fmt: skip
COSTLY = ("export", "robustness", "attack", "demo", "train", "study", "import")


class Commands:
    """Command lines with right, wrong and mutated words, in the order that chance gives them."""

    def prepare(self, seeds: Path) -> None:
        """Train a run; let the page be made, but not be opened."""
        material.start()
        run = material.write_run(seeds / "run")
        shutil.copytree(run, seeds / "other")
        picture = make_pictures()["rgb.png"]
        (seeds / "picture.png").write_bytes(picture)
        (seeds / "file").write_text("a file\n")
        for split in ("train", "test"):
            for name in ("cat", "dog"):
                (seeds / "pictures" / split / name).mkdir(parents=True)
                (seeds / "pictures" / split / name / "1.png").write_bytes(picture)
        base = f"base: {seeds / 'run.yaml'}\ndataset: tiny\nvariants: {{one: {{}}}}\n"
        (seeds / "study.yaml").write_text(f"title: one\n{base}")
        import webbrowser

        webbrowser.open = lambda *_: True  # type: ignore[assignment]

    def run(self, chance: random.Random, place: Place) -> None:
        """Type one."""
        material.forget()
        words = make_command(chance)
        shutil.copytree(
            place.seeds, place.inputs / "seeds"
        )  # `--resume` and `--out` may write there
        command(*(word.replace("{seeds}", str(place.inputs / "seeds")) for word in words))


def make_command(chance: random.Random) -> list[str]:
    """Return a command line."""
    from modelzoo.cli.arguments import make_parser

    parser = make_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    names = sorted(commands.choices)
    name = chance.choice(names)
    if name in COSTLY and chance.random() < 0.5:
        name = chance.choice(names)
    positional, options = [], []
    for action in commands.choices[name]._actions:
        if not action.option_strings:
            count = (
                chance.choice((1, 1, 1, 1, 2, 0)) if action.nargs != "?" else chance.choice((0, 1))
            )
            positional += [_word(action, chance) for _ in range(count)]
        elif chance.random() < (0.9 if action.required else 0.2 if action.dest != "help" else 0.02):
            options.append(_option(action, chance))
    if name in ("train", "study") and "--resume" not in str(options):
        options.append(["--epochs", chance.choice(RIGHT["epochs"][:2])] if name == "train" else [])
    if name in ("predict", "evaluate", "features") and chance.random() < 0.7:
        options.append(["--model", "{seeds}/run"] if name != "features" else [])
    chance.shuffle(options)
    words = [name, *positional, *(word for option in options for word in option)]
    if chance.random() < 0.15:
        at = chance.randrange(len(words))
        words[at] = misspelled(words[at], chance) if "{" not in words[at] else words[at]
    if chance.random() < 0.05:
        words.insert(
            chance.randrange(len(words) + 1), chance.choice(("--", "-", "--x", "-h", "@f"))
        )
    return words


def _option(action: argparse.Action, chance: random.Random) -> list[str]:
    flag = action.option_strings[-1]
    if action.nargs == 0:
        return [flag] if chance.random() < 0.95 else [f"{flag}=x"]
    word = _word(action, chance)
    joined = chance.random() < 0.3 or word.startswith("-")
    return [f"{flag}={word}"] if joined else [flag, word]


def _word(action: argparse.Action, chance: random.Random) -> str:
    """Return a right word most of the time, so that commands get beyond their first check."""
    if action.dest == "set":
        return _setting(chance)
    if action.choices and chance.random() < 0.9:
        return str(chance.choice(sorted(map(str, action.choices))))
    kind = chance.random()
    right = RIGHT.get(action.dest, ())
    if right and kind < 0.75:
        return chance.choice(right)
    if right and kind < 0.85:
        word = chance.choice(right)
        return misspelled(word, chance) if "{" not in word else word
    if action.dest in ("epochs", "steps", "images", "out"):  # no endless work, no far name
        return chance.choice(("", "x", "-1", "💥", "\x00", "a" * 5000))
    return str(chance.choice((*NUMBERS[:35], *TEXTS))).replace("\x00", chance.choice(("\x00", "")))


def _setting(chance: random.Random) -> str:
    key, _, value = chance.choice(SET).partition("=")
    kind = chance.randrange(6)
    if kind == 0:
        key = misspelled(key, chance)
    elif kind == 1:
        value = str(chance.choice((*NUMBERS, *TEXTS)))[:200]
    elif kind == 2:
        value = chance.choice(
            ("[1", "{a: 1}", "!!python/name:os.system", "&a [1]", "*a", "null", "")
        )
    return f"{key}{chance.choice(('=',) * 20 + ('', ' ', '=='))}{value}"
