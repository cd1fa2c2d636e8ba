"""Digits are found in photographs: under shadows, on lines, beside other things, several at once."""

import json

import numpy as np
import pytest
from PIL import Image

from hardening.photographs import make_photograph
from modelzoo import cli
from modelzoo.api import predict
from modelzoo.data.images import read_image

QUICK = ("hard_shadow", "dark_corners", "cropped_tight", "speck_far", "ruled_dark_lines", "several")


def test_drawn_digits_are_read_in_any_surroundings(tmp_path):
    shown, files = [], []
    for kind in QUICK:
        for number in (2, 4, 8):
            text, image = make_photograph(kind, number)
            shown.append(text)
            files.append(tmp_path / f"{kind}{number}.png")
            image.save(files[-1])
    found = predict("lenet5/mnist", files, top=1)
    read = ["".join(name for name, _ in each.classes) for each in found]
    wrong = [(file.stem, *pair) for file, *pair in zip(files, shown, read, strict=True) if pair[0] != pair[1]]
    assert len(wrong) <= 1, wrong
