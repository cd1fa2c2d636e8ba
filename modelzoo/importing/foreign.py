"""What a foreign file says of its network, whichever framework has saved it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelzoo.errors import InputError
from modelzoo.importing.recognise import Plan
from modelzoo.importing.steps import Step

FLAT_BY_PIXEL = "the first dense layer's inputs: from channel by channel to pixel by pixel"


@dataclass(frozen=True)
class Foreign:
    """A foreign file in which everything but the numbers has been checked.

    Attributes:
        path: of the file.
        layout, version: how it was saved, and by which Keras.
        skeleton: reads its layers with weights; their activations are still to be found.
        layer_names: of all its layers in order, where the file says them.
        plan: of its network, if the file or an architecture beside it describes one.
        described_by: the file of that architecture; None if it is the file itself.
        is_torch: whether it is a state dict of PyTorch, which makes maps flat channel by channel.
        classes: that a state dict has; None where those of a configuration have to fit.
        packaged: the packaged network that publishes a state dict of this form, "" if none does.
        notes: what is rewritten in any case.
    """

    path: Path
    layout: str
    skeleton: Callable[[], list[Step]]
    version: str = ""
    layer_names: Sequence[str] = ()
    plan: Plan | None = None
    described_by: Path | None = None
    is_torch: bool = False
    classes: int | None = None
    packaged: str = ""
    notes: list[str] = field(default_factory=list)


def check_chain(steps: Sequence[Step], path: Path) -> None:
    """Raise an InputError unless convolutions come before dense layers, of which there is one."""
    kinds = [step.kind for step in steps if step.kind != "norm"]
    if "dense" not in kinds or kinds != sorted(kinds):  # "conv" < "dense"
        raise InputError(f"{path}: is no chain of convolutions and dense layers")
