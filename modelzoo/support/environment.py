"""What the environment says of this machine: where things are kept, and whether there is a net."""

import contextlib
import importlib.util
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from modelzoo.support.errors import InputError
from modelzoo.support.version import __version__

IS_WINDOWS = os.name == "nt"
owns_process = False  # set by a command that is alone in its process, and may change what all share


def cache_folder() -> Path:
    """Where modelzoo keeps what it fetches: $MODELZOO_HOME, or the user's cache folder."""
    if home := os.environ.get("MODELZOO_HOME"):
        return in_home(home)
    try:
        return Path(platformdirs.user_cache_dir("modelzoo")).expanduser()
    except RuntimeError:
        raise InputError("there is no home folder: set HOME, or MODELZOO_HOME") from None


def in_home(path: str | os.PathLike[str]) -> Path:
    """Return the path that `~/...` or `~name/...` stands for; as it is where there is no such."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - which raises


def is_offline() -> bool:
    """Whether MODELZOO_OFFLINE forbids the network."""
    return os.environ.get("MODELZOO_OFFLINE", "").lower() not in ("", "0", "false", "no")


@contextlib.contextmanager
def without_network() -> Iterator[None]:
    """Forbid the network within a block, for what is good to have but not worth a download."""
    before = os.environ.get("MODELZOO_OFFLINE")
    os.environ["MODELZOO_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MODELZOO_OFFLINE"]
        else:
            os.environ["MODELZOO_OFFLINE"] = before


def mirror_prefix() -> str:
    """What MODELZOO_MIRROR says to try first: the address above `<model>/<file>`, or nothing."""
    return os.environ.get("MODELZOO_MIRROR", "").strip().rstrip("/")


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container; 4 GiB where no system tells it."""
    told = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        told.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        told.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return min(told, default=4 << 30)


def ending_signals() -> list[signal.Signals]:
    """Return the signals of Ctrl-C, of a polite kill and of Ctrl-Break, which Windows has."""
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def processor_name() -> str:
    """Return the processor's name where the system tells it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":  # where Python has only arm or i386
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.check_output(command, text=True).strip()  # noqa: S603
        if sys.platform == "win32":
            import winreg

            key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
                return str(winreg.QueryValueEx(opened, "ProcessorNameString")[0]).strip()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_peak() -> int | None:
    """Return the most memory that this process has held, in bytes; None if it is unknown.

    Linux' getrusage is asked last: it counts what the parent held when it started this process.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Return the versions that a figure may depend on."""
    import importlib.metadata

    found = {"python": platform.python_version(), "modelzoo": __version__}
    for package in ("keras", "tensorflow", "jax", "torch", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


# By import name, with the version bounds of pyproject.toml; a test holds the two equal.
REQUIREMENTS = {
    "tensorflow": "tensorflow>=2.18",
    "jax": "jax>=0.4.34",
    "torch": "torch>=2.4",
    "sklearn": "scikit-learn>=1.4",
    "datasets": "datasets>=4.0",
    "tensorflow_datasets": "tensorflow-datasets>=4.9.9",
    "array_record": "array-record>=0.7.1",
    "argcomplete": "argcomplete>=3.3",
    "tensorboard": "tensorboard>=2.18",
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
    """Refuse to go on without the packages that `what` needs; none of them is imported."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        names, verb, them = ", ".join(missing), *(("are", "them") if missing[1:] else ("is", "it"))
        advice = f"Install {them}: {install_command(*(REQUIREMENTS[name] for name in missing))}"
        if (sys.platform, platform.machine()) == ("darwin", "x86_64"):
            advice = "TensorFlow has had no builds for Macs with Intel processors since 2.17: use "
            advice += "Colab, or Linux in a container"
        raise InputError(f"{what} needs {names}, which {verb} not installed\n{advice}")
