"""Choose the framework and the device before the framework starts, and say what was found."""

import contextlib
import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modelzoo.support import environment
from modelzoo.support.environment import (
    GPU_REQUIREMENT,
    check_installed,
    install_command,
    processor_name,
    usable_cores,
)
from modelzoo.support.errors import InputError

# Into how many devices the CPU is divided, to try what several GPUs would do.
CPU_DEVICES = "MODELZOO_CPU_DEVICES"
OPERATION_THREADS = "TF_NUM_INTRAOP_THREADS"
# Imported by Keras and TensorFlow where they are installed, for interfaces that no command uses.
UNUSED = ("IPython", "jax", "matplotlib", "pandas", "sklearn")


@dataclass(frozen=True)
class Device:
    """A device that is really there."""

    name: str  # as Keras calls it, "cpu:0" or "gpu:1"
    description: str  # for people: "CPU: AMD EPYC, 2 cores"

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which Keras puts variables and computations on this device."""
        import keras

        if keras.backend.backend() != "torch":
            return keras.device(self.name)
        # PyTorch's tensors say "cpu", and Keras would copy each one to "cpu:0" at every use. The
        # first GPU (cuda:0 or mps) is where Keras puts them by itself.
        if self.name == "gpu:0":
            return contextlib.nullcontext()
        return keras.device(self.name.replace("cpu:0", "cpu"))


def start_framework(
    backend: str = "tensorflow", device: str = "auto", *, one_thread: bool = False
) -> Device:
    """Import Keras with a backend, without a word of it, and claim a device.

    What computes with a framework calls this by itself; call it first to choose another backend or
    device than theirs.

    Args:
        backend: "tensorflow", "jax" or "torch".
        device: "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:N".
        one_thread: each operation of TensorFlow takes one thread, so that each core computes
            another part of a batch. That holds for as long as the process lives, and is slower for
            networks of large layers; it is ignored where TensorFlow has started already.

    Returns:
        The device: its `name`, as Keras calls it, and its `description`.

    Raises:
        InputError: there is no such device, or Keras runs on another backend already.

    Examples:
        >>> modelzoo.start_framework("tensorflow", "cpu").name
        'cpu:0'
    """
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", device):
        raise InputError(f"--device {device}: should be auto, cpu, gpu or gpu:N, as in gpu:0")
    check_installed(f"--backend {backend}", backend)
    if "keras" in sys.modules:
        import keras

        if keras.backend.backend() != backend:
            raise InputError(
                f"--backend {backend}: Keras already runs on {keras.backend.backend()} in this "
                "process; start a new one"
            )
        gpus = _list_gpus(backend)
    else:
        _prepare_environment(backend, device, one_thread)
        unused = [name for name in UNUSED if environment.owns_process and name != backend]
        with quiet_stderr(), without_packages(unused), without_collections():
            with contextlib.suppress(ImportError):  # Keras' data adapters would be heard
                import tensorflow  # noqa: F401
            import keras

            if backend == "tensorflow":
                _divide_cpu()
            gpus = _list_gpus(backend)
    cpu = f"CPU: {processor_name()}, {os.cpu_count()} cores"
    if device == "cpu" or (device == "auto" and not gpus):
        return Device("cpu:0", cpu)
    index = int(device.partition(":")[2] or 0)
    if index >= len(gpus):
        found = f"{len(gpus)} ({', '.join(gpus)})" if gpus else "none"
        raise InputError(
            f"--device {device}: not found. GPUs that {backend} sees: {found}; {cpu}.\n"
            "Use --device cpu or auto; for TensorFlow and NVIDIA cards on Linux: "
            f"{install_command(GPU_REQUIREMENT)}"
        )
    return Device(f"gpu:{index}", f"GPU: {gpus[index]}")


def placement(variable: Any) -> str:
    """Return the device that a Keras variable really lives on, as its framework names it."""
    value = variable.value
    device = getattr(value, "device", None)
    if device is None or callable(device):
        device = next(iter(value.devices()))
    return str(device)


def _prepare_environment(backend: str, device: str, one_thread: bool) -> None:
    """Set what the frameworks read once, when they are imported."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow takes oneDNN's kernels by itself only where a processor has AVX-512. They are twice
    # as fast with AVX2, too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX: grow as needed
    if os.environ.get(CPU_DEVICES) and backend == "jax":
        os.environ["JAX_NUM_CPU_DEVICES"] = str(number_in(CPU_DEVICES, 1, 1024))
    if device == "cpu" or backend != "tensorflow":
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        if backend == "jax":
            os.environ["JAX_PLATFORMS"] = "cpu"
    if one_thread and backend == "tensorflow":
        os.environ.setdefault(OPERATION_THREADS, "1")
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(usable_cores()))


def number_in(variable: str, default: int, largest: int) -> int:
    """Return the whole number that a variable of the environment holds, or else the default."""
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise InputError(f"{variable}={text:.80}: should be a whole number from 1 to {largest}")
    return int(text)


def _divide_cpu() -> None:
    """Let TensorFlow see as many CPU devices as the environment asks for."""
    count = number_in(CPU_DEVICES, 1, 1024)
    if count > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(cpu, parts)


def _list_gpus(backend: str) -> list[str]:
    """Return the names of the accelerators that the backend sees; let TensorFlow's memory grow."""
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        for gpu in found:
            with contextlib.suppress(RuntimeError):  # already in use: it keeps what it has
                tf.config.experimental.set_memory_growth(gpu, True)
        details = [tf.config.experimental.get_device_details(gpu) for gpu in found]
        return [each.get("device_name", "GPU") for each in details]
    if backend == "jax":
        import jax

        return [each.device_kind for each in jax.devices() if each.platform != "cpu"]
    import torch

    if torch.backends.mps.is_available():
        return ["Apple GPU (mps)"]
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


@contextlib.contextmanager
def without_packages(names: Iterable[str]) -> Iterator[None]:
    """Let packages seem not to be installed within a block, but for those imported before."""
    hidden = [name for name in names if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))  # None: it cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Let no garbage be collected while a command imports a framework, whose objects all stay.

    Looking through 400,000 of them again and again is a sixth of the time that TensorFlow takes.
    """
    if not (environment.owns_process and gc.isenabled()):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what stays is not looked through later, either
        gc.enable()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what C++ libraries print in a block; let it through if the block fails."""
    sys.stderr.flush()
    try:
        held = tempfile.TemporaryFile()  # noqa: SIM115, closed below
        kept = os.dup(2)
    except OSError:  # nowhere to hold it, or no stderr at all
        yield
        return
    with held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
