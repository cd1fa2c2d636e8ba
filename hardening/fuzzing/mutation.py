"""Change bytes, text and plain values at random places, more often to what breaks readers."""

import json
import random
from collections.abc import Sequence
from typing import Any

NUMBERS: tuple[Any, ...] = (
    -1, 0, 1, 2, 3, 5, 7, 16, 28, 32, 64, 100, 255, 256, 999, 1000, 4096, 65_535, 65_536, 100_000,
    10**7, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(2**31),
    -(2**63), 0.5, 1.0, 1.5, -0.5, 1e-320, 1e-7, 1e30, 1e308, float("nan"), float("inf"),
    float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "x", "0", "-1", "\x00", "²", "💥" * 99, "..", "../..", "../../x", "/", "/etc/passwd",
    "a" * 300, "a" * 100_000, "%s%n", "{}", "{0.__class__}", "[1, 2]", "null", "nan", "1e-3",
    "\x1b[31m", "\u202eabc", "\ufeff", "a\nb", "a\tb", "C:\\x", "~", "~root", "$HOME", "`id`",
    "file:///etc/passwd", "http://127.0.0.1:9/x", "gdrive:" + "x" * 20, "package", "lenet5", "relu",
    "softmax", "valid", "same", "max", "average", "none", "batch", "Zeros", "Dense", "Lambda",
    "Resizing", "RandomRotation", "CenterCrop", "BatchNormalization", "UpSampling2D", "Embedding",
    "Adam", "SGD", "mean_squared_error", "tensorflow", "jax", "os.system", "__class__",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, [], [[]], [[[]]], [None], [1, 2], [1, 2, 3], [0] * 50, ["a"], {}, {"a": 1},
    {"class_name": 3}, {"class_name": "Dense", "config": {"units": 2**40}},
    {"class_name": "Lambda", "config": {}}, {"class_name": "L2", "config": {"l2": "x"}},
    {"class_name": "Zeros", "config": {"x": 1}}, {"config": {}},
    {"class_name": "Constant", "config": {"value": []}},
)  # fmt: skip
ODD_KEYS: tuple[Any, ...] = (1, -1, 2.5, None, True, "", "²", "0", "class_name", "config", "a.b")
EXTREMES = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x00\x00\x00")


def anything(chance: random.Random) -> Any:
    """Return a value that a place may not have been made for."""
    pool = chance.choice((NUMBERS, NUMBERS, TEXTS, OTHERS))
    value = chance.choice(pool)
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def near(value: Any, chance: random.Random) -> Any:
    """Return a value of the same kind, so that checks behind the first are reached, too."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        factor = chance.choice((0, -1, 2, 3, 10, 1000))
        return chance.choice((value + 1, value - 1, value * factor, value // 2))
    if isinstance(value, float):
        return value * chance.choice((0, -1, 0.1, 2, 10, 1e6, 1e30))
    if isinstance(value, str):
        return misspelled(value, chance)
    if isinstance(value, list):
        return chance.choice((value[:-1], value[1:], value * 2, value[::-1], [value]))
    return anything(chance)


def misspelled(text: str, chance: random.Random) -> str:
    """Return text with one letter doubled, dropped, exchanged or in the other case."""
    if not text:
        return chance.choice(TEXTS)
    at = chance.randrange(len(text))
    letter = chance.choice((text[at] * 2, "", chance.choice("aeZ09_.-/ :"), text[at].swapcase()))
    return text[:at] + letter + text[at + 1 :]


def mutated_values(values: Any, chance: random.Random, deeper: float = 0.75) -> Any:
    """Return plain values with one place changed, removed, doubled or moved."""
    values = json.loads(json.dumps(values))
    if not isinstance(values, dict | list) or not values:
        return anything(chance)
    place = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = chance.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and chance.random() < deeper:
            place = place[key]
            continue
        action = chance.randrange(10)
        if action == 0:
            del place[key]
        elif action == 1 and isinstance(place, dict):
            name = chance.choice((misspelled(str(key), chance), chance.choice(ODD_KEYS)))
            place[name] = place.pop(key)
        elif action == 2 and isinstance(place, dict):
            place[chance.choice(ODD_KEYS)] = anything(chance)
        elif action == 2:
            place.insert(key, anything(chance))
        elif action < 7:
            place[key] = near(place[key], chance)
        else:
            place[key] = anything(chance)
        return values


def with_other_number(values: Any, chance: random.Random) -> Any:
    """Return plain values with one number in them changed, keys and kinds as they are."""
    values = json.loads(json.dumps(values))
    places: list[tuple[Any, Any]] = []
    waiting = [values]
    while waiting:
        item = waiting.pop()
        for key in item if isinstance(item, dict) else range(len(item)):
            if isinstance(item[key], dict | list):
                waiting.append(item[key])
            elif isinstance(item[key], int | float) and not isinstance(item[key], bool):
                places.append((item, key))
    if places:
        item, key = chance.choice(places)
        other = chance.choice((*NUMBERS[:28], 300, 2000, 5000, 20_000, 10**6, 10**8))
        item[key] = chance.choice((other, near(item[key], chance)))
    return values


def mutated_bytes(content: bytes, chance: random.Random, places: Sequence[int] = ()) -> bytes:
    """Return bytes with one to eight changes, half of them near `places` if there are some."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        if places and chance.random() < 0.5:
            at = min(len(changed) - 1, chance.choice(places) + chance.randrange(32))
        length = chance.choice((1, 2, 4, 8, 64, 1024))
        action = chance.randrange(8)
        if action == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif action == 1:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif action == 2:
            value = chance.choice(EXTREMES)
            changed[at : at + len(value)] = value
        elif action == 3:
            del changed[at:]
        elif action == 4:
            changed[at:at] = chance.randbytes(length)
        elif action == 5:
            del changed[at : at + length]
        elif action == 6:
            start = chance.randrange(len(changed))
            changed[at : at + length] = changed[start : start + length]
        else:
            changed[at : at + length] = bytes(length)
    return bytes(changed)


PIECES = (
    "!!python/object/apply:os.system ['touch canary']", "!!python/name:os.system", "!x y", "&a [1]",
    "*a", "<<: *a", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!timestamp 2012-13-45",
    "2012-01-01", "0x7fffffffffffffff", "0b11", "0o777", "1_000", "190:20:30", "~", "? ", "- ",
    "| ", "> ", "%YAML 9.9", "---", "...", "\t", "\x00", "\x85", "\u2028", "\ufeff", "{", "}", "[",
    "]", "'", '"', "#", "@", "`", ": ", "[" * 500, "{a: " * 200, "x" * 100_000, "9" * 5000,
    "base: lenet5", "base: mutated.yaml", "base: ../mutated.yaml", "name: ../up",
)  # fmt: skip


def mutated_text(text: str, chance: random.Random) -> bytes:
    """Return a text file with lines and words changed, rarely in another encoding."""
    lines = text.split("\n")
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        at = chance.randrange(len(lines))
        action = chance.randrange(9)
        if action == 0:
            del lines[at]
        elif action == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif action == 2:
            lines[at] = chance.choice(("", " ", "  ", "    ", "\t")) + lines[at].lstrip()
        elif action == 3:
            lines[at] = f"{lines[at]} {chance.choice(PIECES)}"
        elif action == 4:
            lines.insert(at, chance.choice(PIECES))
        elif action == 5:
            key, colon, _ = lines[at].partition(":")
            value = chance.choice((json.dumps(anything(chance)), chance.choice(PIECES)))
            lines[at] = f"{key}{colon} {value}"
        elif action == 6:
            lines[at] = misspelled(lines[at], chance)
        elif action == 7:
            words = lines[at].split(" ")
            words[chance.randrange(len(words))] = str(chance.choice((*NUMBERS[:35], *TEXTS[:40])))
            lines[at] = " ".join(words)
        else:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        lines = lines or [""]
    whole = "\n".join(lines)
    encoding = chance.choice(["utf-8"] * 20 + ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
    content = whole.encode(encoding, "replace")
    return mutated_bytes(content, chance) if chance.random() < 0.1 else content
