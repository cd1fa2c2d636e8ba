"""Write what `predict` found as images: digits in photographs, and what a network was given."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from modelzoo.data.images import open_picture
from modelzoo.data.samples import find_sample
from modelzoo.support.files import replacing
from modelzoo.training.prediction import Prediction

GOOD, DOUBTFUL = "#0a7d2c", "#c2410c"  # of a frame; both are read on white and on black


def save_prepared(found: Iterable[Prediction], folder: Path) -> list[Path]:
    """Write each image that the network was given: NAME.png, of several digits NAME-1.png, …."""
    written: list[Path] = []
    for each in found:
        for number, pixels in enumerate(each.prepared, 1):
            part = f"-{number}" if len(each.prepared) > 1 else ""
            image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            written.append(_write(image, folder, f"{_stem(each.file)}{part}", written))
    return written


def draw_digits(found: Iterable[Prediction], folder: Path) -> list[Path]:
    """Write each photograph with a frame around every digit, and its class above it."""
    written: list[Path] = []
    for each in found:
        if not each.digits:
            continue
        image = open_picture(find_sample(Path(each.file))).image.convert("RGB")
        size = max(12, max(image.size) // 40)
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
        for digit in each.digits:
            name, value = digit.classes[0]
            left, top, right, bottom = digit.box or (0, 0, *image.size)
            colour, margin = DOUBTFUL if digit.uncertain else GOOD, size // 4
            frame = (left - margin, top - margin, right + margin, bottom + margin)
            draw.rectangle(frame, outline=colour, width=max(1, size // 8))
            text = f"{name} {value:.0%}" if each.unit == "probability" else f"{name} {value:.3g}"
            place = (max(0, left - margin), max(0, top - margin - 1.3 * size))
            draw.rectangle(draw.textbbox(place, text, font), fill=colour)
            draw.text(place, text, "white", font)
        written.append(_write(image, folder, f"{_stem(each.file)}-digits", written))
    return written


def _stem(file: str) -> str:
    return Path(file).stem.replace("sample:", "sample-")  # Windows has no colon in a name


def _write(image: Image.Image, folder: Path, stem: str, written: Sequence[Path]) -> Path:
    """Write a PNG, under another name if one of this command has it."""
    names = (folder / f"{stem}{part}.png" for part in ("", *(f"_{n}" for n in range(2, 10**6))))
    path = next(name for name in names if name not in written)
    with replacing(path) as temporary:
        image.save(temporary)
    return path
