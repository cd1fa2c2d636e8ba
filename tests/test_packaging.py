"""The package as others get it: its dependencies, and what is in its source archive."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import modelzoo
from modelzoo.data import images
from modelzoo.support import environment
from modelzoo.support.errors import InputError

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
OURS = ("docs", "dev")  # extras for those who work on it


def lower_bounds() -> dict[str, str]:
    """Return the oldest version of each package that users need, or may ask for."""
    extras = PROJECT["optional-dependencies"]
    texts = [each for name, extra in extras.items() if name not in OURS for each in extra]
    bounds = {}
    for text in [*PROJECT["dependencies"], *texts]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            continue  # the project's own extras
        for bound in requirement.specifier:
            if bound.operator == "<":
                continue
            assert bound.operator == ">=", text
            assert bounds.setdefault(requirement.name, bound.version) == bound.version, text
    return bounds


def test_every_package_is_installed():
    folders = (path.parent for path in (ROOT / "modelzoo").rglob("__init__.py"))
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert {*PYPROJECT["tool"]["setuptools"]["packages"]} == names | {"modelzoo.configs"}


def test_the_oldest_versions_are_the_lower_bounds():
    lines = (ROOT / ".ci" / "oldest.txt").read_text("utf-8").split("\n\n")[0].splitlines()[1:]
    pins = dict(line.split("==") for line in lines)
    bounds = lower_bounds()
    assert pins.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert Version(pins[name]) == Version(bound), name


def test_messages_advise_the_versions_of_pyproject():
    extras = PROJECT["optional-dependencies"]
    texts = {text for name in extras.keys() - {"test", *OURS} for text in extras[name]}
    optional = {text for text in texts if not text.startswith(("pillow", "tensorflow[and-cuda]"))}
    core = {text for text in PROJECT["dependencies"] if text.startswith("tensorflow")}
    assert set(environment.REQUIREMENTS.values()) == optional | core
    assert any(text.startswith(environment.GPU_REQUIREMENT) for text in extras["gpu"])
    for name, text in environment.REQUIREMENTS.items():
        assert Requirement(text).name.replace("-", "_") in (name, "scikit_learn")


def test_all_missing_packages_are_named_in_one_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "onnx" in name else name)
    environment.check_installed("this", "sklearn", "jax")
    with pytest.raises(InputError) as caught:
        environment.check_installed("the format onnx", "onnx", "sklearn", "onnxruntime")
    assert str(caught.value) == (
        "the format onnx needs onnx, onnxruntime, which are not installed\n"
        'Install them: pip install "onnx>=1.17" "onnxruntime>=1.20"'
    )


# What comes behind "pip install", up to the end of the command; and the other project's name in it.
COMMAND = re.compile(r"pip3? install([^\n;&|`]*)")
OTHER = re.compile(r"""(?<![\w./\\-])modelzoo(\[[\w,{}]*\])?(?![\w./\[-]|\s*@)""")
SUFFIXES = {".py", ".md", ".ipynb", ".yaml", ".html", ".js", ".toml", ".txt"}


def advises_the_other_project(text: str) -> bool:
    extras = "|".join([*PROJECT["optional-dependencies"], "offline"])
    by_extra = re.search(rf"""\bmodelzoo\[(?:{extras}|{{)[^\]]*\](?!\s*@)""", text)
    return bool(by_extra) or any(OTHER.search(rest) for rest in COMMAND.findall(text))


def test_nothing_advises_to_install_the_project_of_the_same_name():
    """`modelzoo` on the package index is a stranger's: no page, notebook or message names it."""
    for text in (
        'pip install "modelzoo' + '[jax]"',
        "pip install -U modelzoo",
        "'modelzoo" + "[{extra}]'",
        "!pip install -q modelzoo[" + "jax,hf]",
    ):
        assert advises_the_other_project(text), text
    for text in (
        "pip install modelzoo-classics",
        "pip install modelzoo_classics-1.0-py3-none-any.whl",
        'pip install "modelzoo-classics[jax]"',
        "pip install git+https://example.org/modelzoo",
        "pip install '.[jax]' && modelzoo demo",
    ):
        assert not advises_the_other_project(text), text
    folders = ("modelzoo", "configs", "docs", "notebooks", "scripts", "benchmarks", "tests", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    read = {path for path in files if path.suffix in SUFFIXES} - {Path(__file__)}
    read = {path for path in read if not path.parent.name.endswith(".egg-info")}
    assert len(read) > 200
    for path in read:
        text = path.read_text("utf-8")
        assert not advises_the_other_project(text), path
        assert "--force-" + "reinstall" not in text, path


def test_the_distribution_is_not_the_project_of_the_same_name():
    """Whoever installs it by name gets this one; the package and the command keep their names."""
    assert PROJECT["name"] == "modelzoo-classics" and list(PROJECT["scripts"]) == ["modelzoo"]
    texts = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    own = [text for text in texts if text.startswith("modelzoo")]
    assert own and all(text.startswith("modelzoo-classics[") for text in own)


def test_colab_keeps_its_own_packages():
    """No requirement, of an extra neither, asks for other versions than Colab has."""
    lines = (ROOT / ".ci" / "colab.txt").read_text("utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    versions = {canonicalize_name(name): version for name, version in pins}
    assert versions["keras"] == "3.13.2" and versions["pillow"] == "11.3.0"
    extras = PROJECT["optional-dependencies"]
    texts = [
        text for name, extra in extras.items() if name not in ("test", *OURS) for text in extra
    ]
    for text in [*PROJECT["dependencies"], *texts]:
        requirement = Requirement(text)
        version = versions.get(canonicalize_name(requirement.name))
        assert version is None or requirement.specifier.contains(version, prereleases=True), text


def test_tiff_needs_a_newer_pillow_than_the_package():
    """Colab's Pillow may stay, so that TIFF has a bound of its own."""
    bound = Version(lower_bounds()["pillow"])
    assert bound < Version("{}.{}".format(*images.TIFF_PILLOW)) == Version("12.3")


def test_type_checkers_see_every_public_name():
    """A name that only `__getattr__` knows would have no type."""
    tree = ast.parse((ROOT / "modelzoo" / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {each.names[0].asname: each.module for each in block.body}
    assert seen == modelzoo._HOMES
