"""The packages that only some commands need, and how to install them.

`modelzoo` on the package index is another project, so no message may advise to install this one's
extras by name: messages name the missing packages themselves.
"""

import importlib.util

from modelzoo.support.errors import InputError

# By import name, with the version bounds of pyproject.toml; a test holds the two equal.
REQUIREMENTS = {
    "tensorflow": "tensorflow>=2.18",
    "jax": "jax>=0.4.34",
    "torch": "torch>=2.4",
    "sklearn": "scikit-learn>=1.4",
    "datasets": "datasets>=4.0",
    "tensorflow_datasets": "tensorflow-datasets>=4.9.9",
    "array_record": "array-record>=0.7.1",
    "gradio": "gradio>=6.18",
    "tf2onnx": "tf2onnx>=1.17",
    "onnx": "onnx>=1.17",
    "onnxruntime": "onnxruntime>=1.20",
    "ai_edge_litert": "ai-edge-litert>=1.3",
}
GPU_REQUIREMENT = "tensorflow[and-cuda]"


def install_command(*requirements: str) -> str:
    """Return the command that installs requirements such as "jax>=0.4.34"."""
    return " ".join(["pip install", *(f'"{each}"' for each in requirements)])


def check_installed(what: str, *packages: str) -> None:
    """Refuse to go on without the packages that something needs; none of them is imported.

    Args:
        what: needs them; begins the message.
        packages: import names, of `REQUIREMENTS`.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        names, verb, them = ", ".join(missing), *(("are", "them") if missing[1:] else ("is", "it"))
        raise InputError(
            f"{what} needs {names}, which {verb} not installed\n"
            f"Install {them}: {install_command(*(REQUIREMENTS[name] for name in missing))}"
        )
