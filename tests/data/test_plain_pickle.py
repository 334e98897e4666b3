import io
import os
import pickle

import numpy as np
import pytest

from cvae_tf.data import plain_pickle


def _load(contents):
    return plain_pickle.load(io.BytesIO(contents))


def python_2_pickle(pixels, labels):
    """What Python 2 wrote of {"data": array, "labels": list}: protocol 2, all texts as bytes."""
    rows, columns = pixels.shape

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"J" + int(value).to_bytes(4, "little", signed=True)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + number(0) + b"\x85" + text(b"b") + b"\x87R"
        + b"(" + number(1) + number(rows) + number(columns) + b"\x86"
        + b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
        + b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
        + b"\x89" + b"T" + pixels.size.to_bytes(4, "little") + pixels.tobytes() + b"tb"
    )  # fmt: skip
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def test_what_python_2_wrote_is_read():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 7)).astype(np.uint8)
    contents = python_2_pickle(pixels, [4, 0, 9])
    np.testing.assert_array_equal(pickle.loads(contents, encoding="bytes")[b"data"], pixels)
    read = _load(contents)
    np.testing.assert_array_equal(read["data"], pixels)
    assert read["labels"] == [4, 0, 9]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [3, 4])
def test_what_python_3_writes_is_read(order, protocol):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 7)).astype(np.uint8)
    contents = {b"data": np.asarray(pixels, order=order), b"names": [b"cat"], b"few": pixels[:1]}
    read = _load(pickle.dumps(contents, protocol))
    assert list(read) == ["data", "names", "few"] and read["names"] == [b"cat"]
    np.testing.assert_array_equal(read["data"], pixels)
    np.testing.assert_array_equal(read["few"], pixels[:1])


class _Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_nothing_is_ever_called(tmp_path):
    mark = tmp_path / "mark"
    for function, argument in ((os.mkdir, str(mark)), (eval, f"open({str(mark)!r}, 'w')")):
        with pytest.raises(ValueError, match="never called"):
            _load(pickle.dumps({"data": _Calls(function, argument)}))
        assert not mark.exists()
        pickle.loads(pickle.dumps(_Calls(function, argument)))
        assert mark.exists()  # as it would be by an ordinary reader
        mark.rmdir() if mark.is_dir() else mark.unlink()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(3),
        np.array([{"a": 1}], object),
        np.array(["text"]),
    ],
)
def test_arrays_of_anything_but_bytes_are_refused(values):
    with pytest.raises(ValueError, match="something else than uint8"):
        _load(pickle.dumps({"data": values}, 4))


@pytest.mark.parametrize(
    "contents", [b"", b"\x80\x02}", b"<html>", pickle.dumps([1]), pickle.dumps(np.uint8(3))]
)
def test_nonsense_is_refused(contents):
    with pytest.raises(ValueError, match="no pickle of plain values"):
        _load(contents)


def test_arrays_that_lack_bytes_are_refused():
    pixels = np.arange(21, dtype=np.uint8).reshape(3, 7)
    whole = python_2_pickle(pixels, [1])
    wrong = whole.replace(b"J\x03\0\0\0J\x07\0\0\0\x86", b"J\x04\0\0\0J\x07\0\0\0\x86")
    assert wrong != whole
    with pytest.raises(ValueError, match="cannot reshape"):
        _load(wrong)
