"""Every command that a page or the README shows as `sh` is run, in the order of the page.

A shell runs them; those of modelzoo run in the process of the tests, which has TensorFlow already:
to start it for each one takes longer than all they do. Those that need a process of their own, and
all of one page, get one.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import modelzoo
from modelzoo import cli
from modelzoo.data.known_sets import load_mnist5k
from modelzoo.data.shapes import draw_shapes

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATHS = [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
PAGES = {path.stem: text for path in PATHS if BLOCK.search(text := path.read_text("utf-8"))}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds what the pages speak of: images, and the results of runs."""
    tmp_path = tmp_path_factory.mktemp("material")
    pictures, labels = draw_shapes(60, seed=0)
    for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
        if label < 3:
            part = "test" if number % 5 == 0 else "train"
            path = tmp_path / "my-pictures" / part / ("circle", "square", "triangle")[label]
            path.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path / f"{len(list(path.iterdir()))}.png")
    digits = load_mnist5k()
    Image.fromarray(digits.x_test[0, ..., 0]).save(tmp_path / "digit.png")
    for label, name in {3: "three", 5: "five", 8: "eight"}.items():
        for part, images, labels in (
            ("train", digits.x_train, digits.y_train),
            ("test", digits.x_test, digits.y_test),
        ):
            path = tmp_path / "digits" / part / name
            path.mkdir(parents=True)
            for number, image in enumerate(images[labels == label][:100]):
                Image.fromarray(image[..., 0]).save(path / f"{number}.png")
    for name in ("china", "photo"):
        Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / f"{name}.jpg")
    (tmp_path / "results").symlink_to(DOCS.parent / "results")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)  # this environment is active already
    (tmp_path / ".venv" / "bin" / "activate").touch()
    return tmp_path


@pytest.fixture
def folder(material: Path, tmp_path: Path) -> Path:
    return shutil.copytree(material, tmp_path, symlinks=True, dirs_exist_ok=True)


# Functions for the shell: a command goes to a descriptor, its words ended by zero bytes, an empty
# one last; its exit code comes from another. Another backend, and other devices, need a process.
HERE = r"""
here() { printf '%s\0' "$@" '' >&TO_US; read -r code <&FROM_US; return "$code"; }
modelzoo() { here "$@"; }
python() {
    case " ${MODELZOO_CPU_DEVICES-} $* " in
        "  -m "*" --backend "*) command python "$@" ;;
        "  -m "*) shift; here "$@" ;;
        *) command python "$@" ;;
    esac
}
"""
IN_A_SHELL_OF_ITS_OWN = "old-files"


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_run(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a network, in an empty folder, with the commands of this environment."""
    script = "\n".join(BLOCK.findall(PAGES[page]))
    if "old.h5" in script:  # as older versions saved a whole model
        modelzoo.load("lenet5", weights="mnist").save(folder / "old.h5")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)  # each command chooses its own
    code = run_shell(script if page == IN_A_SHELL_OF_ITS_OWN else HERE + script)
    assert code == 0, capfd.readouterr().err[-3000:]


def run_shell(script: str) -> int:
    """Run a script in a shell, and what it hands over in this process; return its exit code."""
    (commands, to_us), (from_us, codes) = os.pipe(), os.pipe()
    prepared = script.replace("TO_US", str(to_us)).replace("FROM_US", str(from_us))
    words = ["bash", "-euxo", "pipefail", "-c", prepared]
    shell = subprocess.Popen(words, pass_fds=(to_us, from_us))
    os.close(to_us)
    os.close(from_us)
    with open(commands, "rb") as asked, open(codes, "w") as answers:  # noqa: PTH123
        text = b""
        while byte := asked.read(1):
            text += byte
            if text.endswith(b"\0\0"):
                answers.write(f"{cli.main(text.decode()[:-2].split(chr(0)))}\n")
                answers.flush()
                text = b""
    return shell.wait()
