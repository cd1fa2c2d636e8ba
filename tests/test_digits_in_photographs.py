"""Digits are found in photographs: in shadow, on lines, beside other things, several at once."""

import json
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hardening.photographs import make_photograph
from modelzoo import cli
from modelzoo.data.digit import find_digits
from modelzoo.data.images import read_image
from modelzoo.support.errors import InputError
from modelzoo.training.prediction import predict

QUICK = ("hard_shadow", "dark_corners", "cropped_tight", "speck_far", "ruled_dark_lines", "several")
PREDICT = ["predict", "--model", "lenet5", "--weights", "mnist"]


@pytest.fixture
def number(tmp_path, monkeypatch):
    """A photograph of several digits, and what it shows."""
    monkeypatch.chdir(tmp_path)
    shown, image = make_photograph("several", 4)
    image.save("number.png")
    return shown


def test_drawn_digits_are_read_in_any_surroundings(tmp_path):
    shown, files = [], []
    for kind in QUICK:
        for number in (2, 4, 8):
            text, image = make_photograph(kind, number)
            shown.append(text)
            files.append(tmp_path / f"{text}_{kind}.png")
            image.save(files[-1], compress_level=1)
    found = predict("lenet5/mnist", files, top=1)
    read = ["".join(name for name, _ in each.classes) for each in found]
    pairs = zip(files, shown, read, strict=True)
    wrong = [(file.stem, text) for file, right, text in pairs if text != right]
    assert len(wrong) <= 1, wrong


def test_several_digits_are_read_in_order(number, capsys):
    assert cli.main([*PREDICT, "number.png", "--json", "--draw", "out"]) == 0
    found = json.loads(capsys.readouterr().out)
    (image,) = found["images"]
    digits = image["digits"]
    assert image["classes"][0]["name"] == number
    assert "".join(each["classes"][0]["name"] for each in digits) == number
    lefts = [each["box"][0] for each in digits]
    assert lefts == sorted(lefts) and len(set(lefts)) == len(number)
    probability = np.prod([each["classes"][0]["probability"] for each in digits])
    assert image["classes"][0]["probability"] == pytest.approx(probability)
    ink = np.asarray(Image.open("number.png")) < 100
    for left, top, right, bottom in (each["box"] for each in digits):
        assert ink[top:bottom, left:right].any() and not ink[top:bottom, left - 6 : left - 2].any()
    (drawn,) = found["files"]
    before, after = (np.asarray(Image.open(f).convert("RGB"), int) for f in ("number.png", drawn))
    changed = np.abs(before - after).max(2) > 40
    assert before.shape == after.shape and 0.001 < changed.mean() < 0.1
    assert cli.main([*PREDICT, "number.png"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"number.png: {number} ")
    assert [line.split()[0] for line in others[: len(number)]] == list(number)


def test_one_digit_is_read_and_the_others_are_mentioned(number, capsys):
    assert cli.main([*PREDICT, "number.png", "--one", "--json", "--save-prepared", "out"]) == 0
    found = json.loads(capsys.readouterr().out)
    (image,) = found["images"]
    (digit,) = image["digits"]
    assert image["classes"] == digit["classes"] and digit["classes"][0]["name"] in number
    (note,) = [note for note in image["notes"] if note.startswith("not read")]
    assert note.count(" at ") == len(number) - 1
    assert image["uncertain"] and "several marks are equally likely" in image["notes"]
    assert [Image.open(path).size for path in found["files"]] == [(28, 28)] * len(number)
    prepared = np.asarray(Image.open(found["files"][0]))
    read = read_image("number.png", (28, 28, 1), fit="digit", ink="light")
    assert np.array_equal(prepared, read.digits[0].pixels[..., 0])


def test_a_folder_is_read_and_a_bad_file_ends_nothing(tmp_path, capsys):
    shown = {}
    for kind in ("clean_offcentre", "chalk", "speck_far"):
        text, image = make_photograph(kind, 6)
        shown[str(tmp_path / "in" / kind / "digit.png")] = text
        (tmp_path / "in" / kind).mkdir(parents=True)
        image.resize((900, 700)).save(tmp_path / "in" / kind / "digit.png")
    bad = tmp_path / "in" / "a.jpg"
    bad.write_text("<html>")
    (tmp_path / "in" / "notes.txt").write_text("not an image, and not named as one")
    assert cli.main([*PREDICT, str(tmp_path / "in")]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    read = dict(line.split(": ", 1) for line in lines if line.startswith(str(tmp_path)))
    assert read.pop(str(bad)) == "is not an image that can be read"
    assert {file: text.split()[0] for file, text in read.items()} == shown
    shared = [line for line in lines if "digit cut out of 900x700" in line]
    assert len(shared) == 1 and shared[0].startswith("3 images: ")
    assert "1 of 4 images without a class" in err
    assert cli.main([*PREDICT, str(bad)]) == 2  # nothing could be read
    assert "is not an image" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main([*PREDICT, str(tmp_path / "empty")]) == 2
    assert "has no images" in capsys.readouterr().err


def test_heic_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match=r"is a HEIC photograph(.|\n)*JPEG"):
        read_image(path, (28, 28, 1))


@pytest.mark.parametrize("angle", [0, 3, 20])
def test_squared_paper_without_a_digit_shows_no_ink(angle):
    """A grid is one mark, whose outline is longer than that of any digit."""
    page = Image.new("L", (400, 300), 225)
    draw = ImageDraw.Draw(page)
    for at in range(0, 400, 20):
        draw.line([(at, 0), (at, 300)], fill=150, width=2)
        draw.line([(0, at), (400, at)], fill=150, width=2)
    page = page.rotate(angle, Image.Resampling.BILINEAR, fillcolor=225)
    assert find_digits(page, 28, 28) == []
