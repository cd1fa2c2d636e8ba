"""Configurations: inheritance, overrides, checks, and a resolved form that can be run again."""

import inspect
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import modelzoo
from modelzoo.cli.arguments import make_parser
from modelzoo.cli.options import SHORTCUTS, chosen_config, chosen_source
from modelzoo.config import SCHEDULE, list_models, load_config
from modelzoo.networks import BUILDERS
from modelzoo.support.errors import InputError
from modelzoo.training.study import load_study


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_builder_has_a_configuration():
    used = {load_config(name).model.builder for name in list_models()}
    assert used == set(BUILDERS)


@pytest.mark.parametrize("name", list_models())
def test_packaged_yaml_states_every_argument_of_its_builder(name):
    config = load_config(name)
    stated = config.layers[0].values["model"]
    assert set(config.builder_arguments) - {"name"} <= set(stated)


@pytest.mark.parametrize("name", list_models())
def test_resolved_configuration_reads_back_as_itself(tmp_path, name):
    """`train --config runs/.../config.yaml` would repeat another run."""
    config = load_config(name, dataset="mnist5k", overrides=["fit.epochs=3"])
    again = load_config(config_file=write(tmp_path / "config.yaml", config.to_yaml()))
    assert again.sections == config.sections and again.name == name


def test_floats_without_a_point_are_numbers():
    """YAML 1.1 reads 1e-3 as a string, and the learning rate would be text."""
    config = load_config("lenet5", overrides=["compile.optimizer.config.learning_rate=1e-3"])
    assert config.compile.optimizer["config"]["learning_rate"] == 0.001


def test_base_inherits_and_overrides_win(tmp_path):
    path = write(tmp_path / "mine.yaml", "base: lenet5\nfit: {epochs: 7}\nmodel: {pooling: max}\n")
    config = load_config(path, overrides=["fit.epochs=9"])
    assert config.fit.epochs == 9
    assert config.model.pooling == "max" and config.model.conv_maps == [6, 16]
    assert config.name == "mine"


def test_base_does_not_pass_on_facts_and_weights(tmp_path):
    path = write(tmp_path / "mine.yaml", "base: lenet5\nmodel: {dense_units: []}\n")
    assert load_config(path).about.parameters is None and load_config(path).weights == []


def test_config_file_is_laid_over_the_model(tmp_path):
    path = write(tmp_path / "changes.yaml", "fit: {epochs: 2}\n")
    config = load_config("lenet5", config_file=path)
    assert config.fit.epochs == 2 and config.name == "lenet5"


def test_another_class_replaces_the_whole_object():
    """Adadelta's rho would reach SGD, which has none."""
    spec = "compile.optimizer={class_name: SGD, config: {learning_rate: 0.1}}"
    optimizer = load_config("lenet5", overrides=[spec]).compile.optimizer
    assert optimizer == {"class_name": "SGD", "config": {"learning_rate": 0.1}}


def test_a_number_reaches_into_a_list():
    key = "data.preprocessing.0.config.scale=1"
    layer = load_config("lenet5", overrides=[key]).data.preprocessing[0]
    assert layer == {"class_name": "Rescaling", "config": {"scale": 1}}
    with pytest.raises(InputError, match="none numbered 4"):
        load_config("lenet5", overrides=["data.preprocessing.4.config.scale=1"])


def test_per_dataset_applies_below_what_is_given_by_hand(tmp_path):
    small = load_config("lenet5", dataset="mnist5k")
    assert (small.data.batch_size, small.data.dataset) == (32, "mnist5k")
    assert load_config("lenet5").data.batch_size == 128
    by_hand = load_config("lenet5", dataset="mnist5k", overrides=["data.batch_size=64"])
    assert by_hand.data.batch_size == 64
    path = write(tmp_path / "a.yaml", "base: lenet5\nfit: {epochs: 3}\ndata: {dataset: mnist5k}\n")
    assert load_config(path).fit.epochs == 3


def test_choosing_another_data_set_later_keeps_overrides():
    config = load_config("lenet5", overrides=["fit.epochs=2"]).with_dataset("mnist5k")
    assert (config.fit.epochs, config.data.batch_size) == (2, 32)


def chosen(words: str, model: str = "lenet5"):
    options = make_parser().parse_args(["train", "--model", model, *words.split()])
    return chosen_config(options)[0]


def test_options_win_over_set():
    config = chosen("--set fit.epochs=3 --epochs 5 --seed 9 --set trainer.seed=1")
    assert (config.fit.epochs, config.trainer.seed) == (5, 9)
    config = chosen("--dataset mnist5k --set data.dataset=digits --precision mixed_bfloat16")
    assert config.data.dataset == "digits"
    assert config.trainer.precision == "mixed_bfloat16"


@pytest.mark.parametrize(
    "words",
    ["evaluate --model lenet5", "predict --model lenet5 x.png", "features lenet5 x.png",
     "attack lenet5"],
)  # fmt: skip
def test_options_of_every_command_reach_the_answer(words):
    """An option whose name is none of an argument goes nowhere, without a word."""
    told = f"{words} --dataset mnist5k --weights mnist --backend jax"
    source = chosen_source(make_parser().parse_args(told.split()), for_scores=True)
    assert (source.dataset, source.label) == ("mnist5k", "lenet5/mnist")
    assert source.config.trainer.backend == "jax"


def test_every_option_that_stands_for_a_key_sets_it():
    config = chosen(
        "--epochs 2 --batch-size 7 --learning-rate 1e-2 --seed 3 --backend jax "
        "--precision mixed_float16 --distribute devices --skip-bad-images"
    )
    values = (2, 7, 0.01, 3, True, "mixed_float16", "jax", "devices")
    assert tuple(config.value(key) for key in SHORTCUTS.values()) == values


def test_a_learning_rate_replaces_a_schedule(capsys):
    config = chosen("--learning-rate 0.002", model="lenet5_augmented")
    assert config.value("compile.optimizer.config.learning_rate") == 0.002
    assert "replaces the schedule CosineDecay" in capsys.readouterr().err


def test_epochs_shorten_a_schedule_with_them():
    """A cosine that is cut off would end at a high rate; steps that are asked for stay."""
    steps = ("warmup_steps", "decay_steps")

    def lengths(words: str) -> tuple[int, ...]:
        config = chosen(words, model="alexnet_fast")
        return (config.fit.epochs, *(config.value(f"{SCHEDULE}.config.{key}") for key in steps))

    assert lengths("") == (6, 132, 396)
    assert lengths("--epochs 4") == (4, 88, 264)
    assert lengths(f"--epochs 4 --set {SCHEDULE}.config.decay_steps=300") == (4, 132, 300)
    assert lengths("--set fit.epochs=4") == (4, 132, 396)
    assert chosen("--epochs 4").value(SCHEDULE) == load_config("lenet5").value(SCHEDULE)


def test_an_optimizer_named_without_arguments_takes_a_learning_rate(tmp_path):
    path = write(tmp_path / "mine.yaml", "base: lenet5\ncompile: {optimizer: Adam}\n")
    key = "compile.optimizer.config.learning_rate=0.1"
    optimizer = load_config(path, overrides=[key]).compile.optimizer
    assert optimizer == {"class_name": "Adam", "config": {"learning_rate": 0.1}}


def test_python_arguments_win_over_overrides():
    """What is said later counts: in `with_values`, `build`, `Trainer` and a study's --set."""
    config = load_config("lenet5", overrides=["trainer.seed=5", "model.num_classes=20"])
    assert modelzoo.Trainer(config, seed=7).config.trainer.seed == 7
    assert modelzoo.Trainer(config).config.trainer.seed == 5
    assert modelzoo.build(config, num_classes=26).output_shape == (None, 26)
    later = config.with_values({"model": {"num_classes": 30}}, "here")
    assert later.model.num_classes == 30 and later.is_asked("model.num_classes")
    study = load_study("overfitting", ["fit.epochs=1", "model.dropout=0.25"])
    asked = {(each.fit.epochs, each.model.dropout) for each in study.variants.values()}
    assert asked == {(1, 0.25)}


def test_what_the_program_finds_out_replaces_no_choice():
    """The number of classes of a data set, or the pixels of an import, give way to --set."""
    config = load_config("lenet5", overrides=["model.num_classes=20"])
    found = config.with_values({"model": {"num_classes": 3, "pool_size": 3}}, "data", asked=False)
    assert (found.model.num_classes, found.model.pool_size) == (20, 3)


def test_an_unknown_attribute_is_an_error():
    config = load_config("lenet5")
    assert (config.model.builder, config.model.num_classes) == ("lenet5", 10)
    with pytest.raises(AttributeError, match="hidden_units"):
        config.model.hidden_units  # noqa: B018
    with pytest.raises(AttributeError, match="immutable"):
        config.data.batch_size = 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.batch_size=0", "data.batch_size: 0 should be from 1 to 2**31 - 1"),
        ("data.training_images=-2", "data.training_images: -2 should be from 1 to 2**31 - 1"),
        ("data.image_size=[8]", "data.image_size: [8] should be a number from 1, or [height, wid"),
        ("trainer.seed=-1", "trainer.seed: -1 should be from 0 to 2**32 - 1"),
        ("trainer.save_minutes=.inf", "trainer.save_minutes: inf should be a number from 0"),
        ("fit.class_weight=balance", "fit.class_weight: unknown 'balance'; did you mean 'balanced"),
        ("fit.class_weight={a: 1}", "fit.class_weight: expected int, got str: {'a': 1}"),
        ("data.preprocessing=[1]", "preprocessing.0: expected str | object, got int: 1"),
        ("model.input_shape=[28, 28]", "input_shape: [28, 28] should be [height, width, channels]"),
    ],
)
def test_a_value_out_of_range_is_told_the_range(override, said):
    with pytest.raises(InputError, match=re.escape(f"--set {override}: ")) as raised:
        load_config("lenet5", overrides=[override])
    assert said in str(raised.value)


def test_images_enter_in_the_shape_that_preprocessing_needs():
    assert load_config("lenet5").image_shape == (28, 28, 1)
    padded = ["data.preprocessing=[{class_name: ZeroPadding2D, config: {padding: 2}}]"]
    assert load_config("lenet5", overrides=padded).image_shape == (24, 24, 1)
    assert load_config("alexnet_2012").image_shape == (256, 256, 3)


def test_a_hash_belongs_to_the_weights_it_is_given_for():
    """A hash without weights was dropped; weights by another name lose the file's hash."""
    with pytest.raises(InputError, match=r"weights_sha256 \(--sha256\): no weights are given"):
        modelzoo.Trainer(load_config("lenet5"), weights_sha256="0" * 64)
    start = {"trainer": {"weights": "lenet5/mnist", "weights_sha256": "1" * 64}}
    config = load_config("lenet5").with_values(start, "a file")
    trainer = modelzoo.Trainer(config, weights_sha256="0" * 64).config.trainer
    assert (trainer.weights, trainer.weights_sha256) == ("lenet5/mnist", "0" * 64)
    trainer = modelzoo.Trainer(config, weights="other.h5").config.trainer
    assert (trainer.weights, trainer.weights_sha256) == ("other.h5", None)


def test_errors_name_file_line_and_nearest_key(tmp_path):
    path = write(tmp_path / "mine.yaml", "base: lenet5\nfit:\n  epochs: 3\n  epoch: 3\n")
    with pytest.raises(
        InputError, match=r"mine\.yaml, line 4: .*fit\.epoch; did you mean 'epochs'"
    ):
        load_config(path)


def test_an_error_in_a_base_names_the_base(tmp_path):
    write(tmp_path / "base.yaml", "base: lenet5\ndata: {batch_size: many}\n")
    path = write(tmp_path / "mine.yaml", "base: base.yaml\n\n\nfit: {epochs: 3}\n")
    with pytest.raises(InputError, match=r"base\.yaml, line 2: data\.batch_size: expected int"):
        load_config(path)


def test_a_yaml_runs_no_code(tmp_path):
    target = tmp_path / "touched"
    text = f"fit: !!python/object/apply:os.system ['touch {target}']"
    with pytest.raises(InputError, match=r"line 1: the tag .* is not allowed"):
        load_config(write(tmp_path / "bad.yaml", text))
    assert not target.exists()


def test_a_section_has_no_key_that_its_call_does_not_take():
    """A key would be accepted and do nothing, or fail deep inside the framework."""
    import keras

    from modelzoo.config import sections
    from modelzoo.data.images import Fit, Ink, read_image
    from modelzoo.data.pipeline import InputPipeline
    from modelzoo.training.trainer import Trainer

    def names(call):
        return set(inspect.signature(call).parameters)

    assert names(sections.Image) <= names(read_image)
    hints = get_type_hints(sections.Image)
    assert (hints["fit"], hints["ink"]) == (Fit, Ink)
    # The data set is opened before its pipeline, at a size, and brings its class names.
    opened = {"dataset", "class_names", "image_size", "skip_bad_images"}
    used = set(re.findall(r"settings\.(\w+)", inspect.getsource(InputPipeline)))
    assert names(sections.Data) - opened == used
    assert names(sections.Compile) <= names(keras.Model.compile)
    own = {"adversarial"}  # which what is fitted takes, in its training step
    assert names(sections.Fit) - own <= names(keras.Model.fit)
    assert names(sections.Trainer) <= names(Trainer)


@pytest.mark.parametrize(
    "command",
    ["train --model {}", "evaluate --model {}", "predict --model {} x.png", "info {}", "attack {}",
     "features {} x.png", "robustness {}", "export {} --format onnx", "draw architecture {}",
     "pull {}", "verify {}", "study {}"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["runs/not-there", r"runs\not-there", "./not-there"])
def test_a_missing_folder_is_called_missing(command, path, tmp_path, monkeypatch, refuses):
    """And not an unknown name among the packaged networks, whether other runs are there or not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    err = refuses(command.format(path))
    assert f"{path}: no such file or folder\n" in err and "lenet5" not in err
