"""Images of every kind come out as a network takes them, and bad files are one clear error."""

import itertools
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from modelzoo.data.digit import find_digits
from modelzoo.data.images import MAX_PIXELS, read_image, readable_formats
from modelzoo.data.known_sets import load_mnist5k
from modelzoo.support.errors import InputError

MNIST = (28, 28, 1)
COLOUR = (32, 32, 3)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def seven(size: tuple[int, int] = (400, 300), ink: Any = 0, ground: Any = 255) -> Image.Image:
    """A big 7, off the centre."""
    image = Image.new("L", size, ground)
    points = [(40, 60), (130, 60), (75, 230)]
    ImageDraw.Draw(image).line(points, fill=ink, width=18, joint="curve")
    return image


def digit_of(image: Image.Image, folder: Path, ink: Any = "light") -> Any:
    return read_image(saved(image, folder / "digit.png"), MNIST, fit="digit", ink=ink)


def centre_of_mass(pixels: np.ndarray) -> tuple[float, float]:
    mass = pixels[..., 0].astype(float)
    grid = np.arange(mass.shape[0])
    return (mass.sum(1) @ grid) / mass.sum(), (mass.sum(0) @ grid) / mass.sum()


def test_a_black_seven_on_white_becomes_an_mnist_digit(tmp_path):
    prepared = digit_of(seven(), tmp_path)
    pixels = prepared.pixels
    assert pixels.shape == MNIST and pixels.dtype == np.uint8
    assert np.median(pixels) == 0 and pixels.max() == 255
    rows = np.flatnonzero((pixels > 100).any((1, 2)))
    assert 18 <= rows[-1] - rows[0] + 1 <= 20
    assert centre_of_mass(pixels) == pytest.approx((14, 14), abs=0.6)
    widths = (pixels[..., 0] > 100).sum(1)  # a 7 has its bar above
    assert widths[rows[0] + 1] > 2 * widths[rows[-1] - 1]
    assert "inverted: dark strokes on a light background" in prepared.notes
    assert any(note.startswith("digit cut out of 400x300") for note in prepared.notes)
    as_is = digit_of(seven(), tmp_path, "as_is")  # a dark digit stays dark
    assert np.array_equal(255 - pixels, as_is.pixels)


def test_the_polarity_and_the_place_of_a_digit_do_not_matter(tmp_path):
    black = digit_of(seven(), tmp_path)
    white = digit_of(ImageOps.invert(seven()), tmp_path)
    faint = digit_of(seven(ink=120, ground=180), tmp_path)
    assert not any("inverted" in note for note in white.notes)
    assert np.corrcoef(black.pixels.ravel(), white.pixels.ravel())[0, 1] > 0.98
    assert np.abs(black.pixels.astype(int) - faint.pixels).max() <= 12


def test_a_small_digit_in_a_noisy_photograph_is_found(tmp_path):
    random = np.random.RandomState(0)
    clean = np.asarray(seven((1200, 900)), float) / 255
    lamp = np.linspace(140, 230, 1200)
    photograph = np.clip(lamp * (0.25 + 0.75 * clean) + random.normal(0, 15, clean.shape), 0, 255)
    found = digit_of(Image.fromarray(photograph.astype(np.uint8)), tmp_path).pixels
    expected = digit_of(seven(), tmp_path).pixels
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_a_faint_thin_digit_in_a_large_picture_is_found(tmp_path):
    """A pencil's line four pixels wide is not lost when a large image is searched."""
    image = Image.new("L", (3000, 2250), 180)
    points = [(340, 260), (430, 260), (375, 430)]
    ImageDraw.Draw(image).line(points, fill=110, width=4, joint="curve")
    prepared = digit_of(image, tmp_path)
    assert prepared.pixels.max() == 255, prepared.notes
    assert centre_of_mass(prepared.pixels) == pytest.approx((14, 14), abs=0.6)


def test_mnist_digits_survive_enlargement_and_moving():
    folder = os.environ.get("MODELZOO_DATA")
    if not folder or not (Path(folder) / "mnist.npz").is_file():
        pytest.skip("needs mnist.npz in $MODELZOO_DATA")
    with np.load(Path(folder) / "mnist.npz", allow_pickle=False) as archive:
        digits = archive["x_test"][:100]
    likeness = []
    for digit in digits:
        canvas = Image.new("L", (500, 400))
        canvas.paste(Image.fromarray(digit).resize((224, 224), Image.Resampling.BICUBIC), (250, 20))
        (found,) = find_digits(canvas, 28, 28)
        shifts = itertools.product((-1, 0, 1), repeat=2)  # a stroke may lie between two pixels
        moved = [np.roll(digit, shift, (0, 1)) for shift in shifts]
        likeness.append(
            max(np.corrcoef(found.pixels.ravel(), each.ravel())[0, 1] for each in moved)
        )
    assert np.mean(likeness) > 0.94 and min(likeness) > 0.8


def test_a_centred_digit_of_the_right_size_is_not_touched(tmp_path):
    """Every image of MNIST is read as it is; one whose digit is in a corner is centred."""
    digits = load_mnist5k()
    images = np.concatenate([digits.x_train, digits.x_test])
    for pixels in images[::10]:
        path = saved(Image.fromarray(pixels.reshape(28, 28)), tmp_path / "small.png")
        assert read_image(path, MNIST, fit="digit").notes == ()
        assert np.array_equal(read_image(path, MNIST, fit="digit").pixels, pixels.reshape(MNIST))
    path = saved(Image.fromarray(255 - pixels.reshape(28, 28)), path)
    light = read_image(path, MNIST, fit="digit", ink="light")
    assert np.array_equal(light.pixels, pixels.reshape(MNIST))
    rows, columns = (np.flatnonzero(pixels.reshape(28, 28).any(axis)) for axis in (1, 0))
    corner = np.zeros((28, 28), np.uint8)
    digit = pixels.reshape(28, 28)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner[: len(digit), : digit.shape[1]] = digit
    moved = read_image(saved(Image.fromarray(corner), path), MNIST, fit="digit")
    assert any("centred in 28x28" in note for note in moved.notes)
    assert np.corrcoef(moved.pixels.ravel(), pixels.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", [(300, 300), (28, 28)])
@pytest.mark.parametrize("noise", [0, 5])
def test_a_sheet_without_strokes_has_no_ink(tmp_path, size, noise):
    drawn = np.random.default_rng(0).integers(245, 246 + noise, size, dtype=np.uint8)
    prepared = digit_of(Image.fromarray(drawn), tmp_path)
    assert prepared.problem == "no ink found: the image is blank"
    for image in (seven(), seven().resize((28, 28))):
        assert digit_of(image, tmp_path).problem == ""


@pytest.mark.parametrize("fit", ["contain", "cover", "stretch"])
def test_a_photo_of_one_colour_shows_nothing(tmp_path, fit):
    green = Image.new("RGB", (64, 64), (10, 200, 30))
    path = saved(green, tmp_path / "green.png")
    assert read_image(path, COLOUR, fit=fit).problem == "all pixels are equal"
    green.putpixel((30, 30), (255, 0, 0))
    assert read_image(saved(green, path), COLOUR, fit=fit).problem == ""


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (900, 1), (2, 2), (3000, 5)])
@pytest.mark.parametrize("fit", ["digit", "contain", "cover", "stretch"])
def test_extreme_sizes_are_fitted(tmp_path, width, height, fit):
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / "thin.png")
    assert read_image(path, (32, 20, 3), fit=fit, ink="light").pixels.shape == (32, 20, 3)


def red_and_blue(size: tuple[int, int] = (60, 40)) -> Image.Image:
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (0, size[1] // 2, size[0], size[1]))
    return image


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB", "CMYK", "I", "I;16", "F"])
def test_every_mode_shows_the_same_picture(tmp_path, mode):
    grey = Image.new("L", (32, 32), 255)
    grey.paste(0, (0, 16, 32, 32))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(np.asarray(grey).astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray((np.asarray(grey) / 255).astype(np.float32))
    else:
        image = grey.convert("RGB").convert(mode) if mode in ("P", "CMYK") else grey.convert(mode)
    suffix = "tiff" if mode in ("CMYK", "I", "F") else "png"
    if suffix == "tiff" and "TIFF" not in readable_formats():
        pytest.skip("needs Pillow 12.3 for TIFF")
    path = saved(image, tmp_path / f"picture.{suffix}")
    for channels in (1, 3):
        pixels = read_image(path, (32, 32, channels)).pixels
        assert pixels.shape == (32, 32, channels)
        assert pixels[:16].min() == 255 and pixels[16:].max() == 0


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path):
    values = np.array([[0, 257, 514, 128 * 257], [60, 129, 200, 250]], np.uint16)
    prepared = read_image(saved(Image.fromarray(values), tmp_path / "deep.png"), (2, 4, 1))
    assert prepared.pixels[..., 0].tolist() == [[0, 1, 2, 128], [0, 1, 1, 1]]
    assert prepared.notes == ("16-bit grey scaled to 8 bits",)
    white = saved(Image.fromarray(np.full((2, 4), 65535, np.uint16)), tmp_path / "white.png")
    assert read_image(white, (2, 4, 1)).pixels.min() == 255


def test_transparency_goes_on_white_unless_the_content_is_light(tmp_path):
    for ink, name in ((0, "white"), (255, "black, since its content is light")):
        image = Image.new("RGBA", (400, 300), (ink, ink, ink, 0))
        image.putalpha(seven(ink=255, ground=0))
        image.paste((ink, ink, ink), (0, 0, 400, 300), image.getchannel("A").point(lambda a: 0))
        prepared = digit_of(image, tmp_path)
        assert f"transparency put on {name}" in prepared.notes
        assert centre_of_mass(prepared.pixels) == pytest.approx((14, 14), abs=0.6)
        assert prepared.pixels.max() == 255 and np.median(prepared.pixels) == 0


def test_a_palette_with_a_transparent_colour_is_composed(tmp_path):
    """The transparent entry of a palette, which is bright green here, becomes white."""
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 255, 0, 10, 10, 10])
    image.paste(1, (8, 8, 24, 24))
    path = saved(image, tmp_path / "palette.png", transparency=0)
    pixels = read_image(path, (32, 32, 3)).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[16, 16].tolist() == [10, 10, 10]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = red_and_blue()
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes each
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(stored, tmp_path / "photo.png", exif=exif)
    prepared = read_image(path, (20, 30, 3))
    assert prepared.pixels[4, 15].tolist() == [255, 0, 0]
    assert prepared.pixels[16, 15].tolist() == [0, 0, 255]
    assert "resized from 60x40 to 30x20" in prepared.notes
    assert any("EXIF" in note for note in prepared.notes) == (orientation > 1)


def test_a_large_jpeg_on_its_side_keeps_its_size_in_the_note(tmp_path):
    """A JPEG that is reduced while it is decoded is still fitted and described rightly."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = red_and_blue((1600, 1200)).transpose(Image.Transpose.ROTATE_90)
    path = saved(stored, tmp_path / "photo.jpg", exif=exif, quality=95)
    prepared = read_image(path, (32, 32, 3))
    assert "resized from 1600x1200 to 32x32, left and right cut off" in prepared.notes
    assert np.abs(prepared.pixels[4, 16].astype(int) - [255, 0, 0]).max() < 8
    assert np.abs(prepared.pixels[28, 16].astype(int) - [0, 0, 255]).max() < 8


def test_the_first_frame_of_an_animation_is_used(tmp_path):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    path = saved(frames[0], tmp_path / "turn.gif", save_all=True, append_images=frames[1:])
    prepared = read_image(path, (20, 20, 3))
    assert prepared.pixels[10, 10].tolist() == [255, 0, 0]
    assert "only the first of its frames was read" in prepared.notes


def test_each_fit_does_what_it_says(tmp_path):
    image = Image.new("RGB", (200, 100), (10, 20, 30))
    image.paste((250, 250, 250), (60, 10, 140, 90))
    path = saved(image, tmp_path / "wide.png")

    def lit(fit: Any) -> tuple[int, int]:
        prepared = read_image(path, (50, 50, 3), fit=fit)
        assert prepared.pixels[0, 25].tolist() == [10, 20, 30], fit
        light = prepared.pixels[..., 0] > 130
        return int(light.any(1).sum()), int(light.any(0).sum())

    assert lit("contain") == pytest.approx((20, 20), abs=1)
    assert lit("cover") == pytest.approx((40, 40), abs=1)
    assert lit("stretch") == pytest.approx((40, 20), abs=1)


def test_shrinking_does_not_alias(tmp_path):
    lines = np.zeros((256, 256), np.uint8)
    lines[:, ::2] = 255
    pixels = read_image(saved(Image.fromarray(lines), tmp_path / "lines.png"), (32, 32, 1)).pixels
    assert pixels.min() >= 120 and pixels.max() <= 135


def bad_files(folder: Path) -> dict[str, Path]:
    whole = saved(red_and_blue((200, 200)), folder / "whole.png").read_bytes()
    files = {
        "is empty": b"",
        "is not an image": b"seven, said the text file",
        "is damaged": whole[: len(whole) // 2],
        "million pixels": bomb(30_000, 30_000),
    }
    paths = {"there is no image": folder / "missing.png", "is a folder": folder}
    for number, (message, content) in enumerate(files.items()):
        paths[message] = folder / f"bad{number}.png"
        paths[message].write_bytes(content)
    photograph = saved(red_and_blue((400, 400)), folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(photograph[: len(photograph) // 2])
    return {**paths, "damaged": folder / "cut.jpg"}


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_are_one_clear_error(tmp_path):
    for message, path in bad_files(tmp_path).items():
        for fit in ("digit", "cover"):
            with pytest.raises(InputError, match=message) as caught:
                read_image(path, MNIST, fit=fit)
            assert str(path) in str(caught.value)
            assert len(str(caught.value).splitlines()) <= 2


def test_a_bomb_below_pillows_own_limit_is_refused_by_ours(tmp_path):
    side = int(MAX_PIXELS**0.5) + 1
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side, side))
    with pytest.raises(InputError, match="80 million pixels"):
        read_image(path, MNIST)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="is not a file"):
        read_image(tmp_path / "pipe.png", MNIST)


def test_a_format_that_is_not_allowed_is_refused(tmp_path):
    """EPS would start another program, and PPM is none of ours, under whatever name."""
    red_and_blue().save(tmp_path / "picture.png", format="PPM")
    with pytest.raises(InputError, match="none of PNG"):
        read_image(tmp_path / "picture.png", MNIST)


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"])
def test_tiff_is_refused_unread_where_pillow_is_too_old(tmp_path, monkeypatch, start):
    """Pillow below 12.3 gets no TIFF, as a file or in memory, whatever the name; it gets PNG."""
    png = saved(red_and_blue(), tmp_path / "good.png")
    monkeypatch.setattr("PIL.__version__", "11.3.0")
    assert read_image(png, (8, 8, 3)).pixels.any()
    (tmp_path / "picture.png").write_bytes(start + bytes(100))
    decode = "PIL.TiffImagePlugin.TiffImageFile.__init__"
    monkeypatch.setattr(decode, lambda *_, **__: pytest.fail("Pillow's TIFF saw the file"))
    for source in (tmp_path / "picture.png", start + bytes(100)):
        with pytest.raises(InputError, match=r"none of PNG.* TIFF takes Pillow 12\.3 or newer"):
            read_image(source, MNIST)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 4), (0, 28, 1)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(InputError, match="image_shape"):
        read_image("nowhere.png", shape)
