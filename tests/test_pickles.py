"""A pickle is read as plain values and arrays; nothing that it names runs."""

import os
import pickle
from typing import Any

import numpy as np
import pytest

from modelzoo.support import pickles
from modelzoo.support.errors import InputError
from modelzoo.support.pickles import read_pickle

# As Python 2 wrote one batch of CIFAR-10, protocol 2: texts and numbers are one type there.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
    b"K\x00\x85U\x01b\x87Rq\x06(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87Rq\x08("
    b"K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x00\x01\x02\xff\xfe\xfdtb"
    b"U\x06labelsq\x09]q\x0a(K\x06K\x09eu."
)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_and_arrays_are_read(protocol):
    value: dict[Any, Any] = {
        "big-endian": np.arange(6, dtype=">i4").reshape(2, 3),
        "by column": np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
        b"labels": [1, -2, 2.5, None, True, "ü", b"x\xff", (), (1,), (1, 2, 3, 4)],
        7: {},
    }
    found = read_pickle(pickle.dumps(value, protocol))
    assert list(found) == list(value)
    for key in ("big-endian", "by column"):
        assert found[key].dtype.kind == value[key].dtype.kind
        assert np.array_equal(found[key], value[key])
    assert found[b"labels"] == value[b"labels"]


def test_a_file_of_python_2_is_read():
    found = read_pickle(PYTHON_2)
    assert list(found) == ["data", "labels"] and found["labels"] == [6, 9]
    assert found["data"].tolist() == [[0, 1, 2], [255, 254, 253]]
    assert pickle.loads(PYTHON_2, encoding="latin1")["data"].tolist() == found["data"].tolist()


class Code:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


REFUSED = {
    "code": (pickle.dumps({"x": Code()}, 2), "posix.system' is code"),
    "code, protocol 4": (pickle.dumps({"x": Code()}, 4), "posix.system' is code"),
    "an object": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
    "objects in an array": (PYTHON_2.replace(b"\x02u1", b"\x02O8"), "other numbers"),
    "a record": (PYTHON_2.replace(b"\x01|NNN", b"\x01|K\x01NN"), "plain numbers"),
    "another shape": (PYTHON_2.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86"), "other numbers"),
    "a shape of texts": (PYTHON_2.replace(b"K\x02K\x03\x86", b"NN\x86"), "unknown shape"),
    "one text for many": (
        b"\x80\x02X\x64\x00\x00\x00" + b"x" * 100 + b"q\x00U\x06latin1q\x01"
        + b"c_codecs\nencode\nh\x00h\x01\x86R" * 9 + b".",
        "more numbers than it holds",
    ),
    "cut off": (PYTHON_2[:90], "damaged"),
    "nothing on the stack": (b"\x80\x02R.", "damaged"),
    "two values": (b"\x80\x02NN.", "damaged"),
    "too long": (b"\x80\x02(" + b"N" * 1001 + b"t.", "more than 1,000 instructions"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_more_is_refused(fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    content, words = REFUSED[fault]
    with pytest.raises(InputError, match=words):
        read_pickle(content)
    assert not list(tmp_path.iterdir())
