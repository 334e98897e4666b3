import io
import pickle
import zipfile

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.safe_npz import read_npz


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def _write_member(path, header, data=b"", name="x_train"):
    """Writes an .npz whose array has this text as its header."""
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", head + data)


def _header(shape, descr="'|u1'", order=False):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.uint8, ">f4", np.float64, "U3", bool])
def test_arrays_come_back_as_they_were_saved(tmp_path, save, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    scalar = np.array(7)
    save(tmp_path / "a.npz", a=array, f=np.asfortranarray(array), scalar=scalar, other=array)
    arrays = read_npz(tmp_path / "a.npz", ("a", "f", "scalar", "missing"))
    assert set(arrays) == {"a", "f", "scalar"}
    for name, expected in (("a", array), ("f", array), ("scalar", scalar)):
        assert arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(arrays[name], expected)


@pytest.mark.parametrize("name", ["nowhere.npz", "."])
def test_missing_file_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="no such file"):
        read_npz(tmp_path / name, ("x_train",))


@pytest.mark.parametrize("content", [b"", b"just some text\n" * 20, pickle.dumps([1, 2, 3])])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="a.npz: not an .npz file"):
        read_npz(tmp_path / "a.npz", ("x_train",))


@pytest.mark.parametrize("part", [0.2, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, part):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.arange(10_000))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UserError, match="not an .npz file, or a truncated one"):
        read_npz(path, ("x_train",))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_flipped_bytes_are_noticed(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, x_train=np.random.default_rng(0).integers(0, 256, 10_000).astype(np.uint8))
    content = bytearray(path.read_bytes())
    content[5000:5010] = bytes(255 - byte for byte in content[5000:5010])
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.npz"):
        read_npz(path, ("x_train",))


def test_pickles_in_an_npz_are_refused_and_never_run(tmp_path):
    array = np.empty(1, object)
    array[0] = _Trap(tmp_path / "sprung")
    np.savez(tmp_path / "a.npz", allow_pickle=True, x_train=array)
    with pytest.raises(UserError, match="x_train holds pickled Python objects"):
        read_npz(tmp_path / "a.npz", ("x_train",))
    assert not (tmp_path / "sprung").exists()


def test_plain_pickles_are_refused_and_never_run(tmp_path):
    (tmp_path / "a.npz").write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    with pytest.raises(UserError, match="not an .npz file"):
        read_npz(tmp_path / "a.npz", ("x_train",))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("shape", [(10**12,), (3, 28, 28)])
def test_headers_that_claim_more_than_the_file_holds_are_refused(tmp_path, shape):
    _write_member(tmp_path / "a.npz", _header(shape), b"12345")
    with pytest.raises(UserError, match="x_train claims .* bytes, but the file holds"):
        read_npz(tmp_path / "a.npz", ("x_train",))


def test_negative_sizes_are_refused(tmp_path):
    _write_member(tmp_path / "a.npz", _header((-1, 5)), b"12345")
    with pytest.raises(UserError, match="x_train claims the shape"):
        read_npz(tmp_path / "a.npz", ("x_train",))


BAD_HEADERS = {
    "nothing": b"",
    "bytes": b"\x00\xff\x00\xff",
    "not a dictionary": b"[1, 2, 3]\n",
    "other keys": b"{'shape': (2,)}\n",
    "unknown type": _header((1,), descr="'no such type'"),
    "open bracket": b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,\n",
    "elements of no size": _header((3,), descr="'|S0'"),
    "truth as a size": _header((True, 1)),
    "code": _header((1,), descr="open('sprung', 'w')"),
    "too many elements": _header((0, 10**30)),
    "too many elements in all": _header((0, 10**12, 10**12)),
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_bad_array_headers_are_refused(tmp_path, header):
    _write_member(tmp_path / "a.npz", header, b"12345")
    with pytest.raises(UserError, match="a.npz: x_train"):
        read_npz(tmp_path / "a.npz", ("x_train",))


def test_arrays_that_are_not_asked_for_are_not_looked_at(tmp_path):
    path = tmp_path / "a.npz"
    _write_member(path, b"nonsense", name="other")
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", buffer.getvalue())
    np.testing.assert_array_equal(read_npz(path, ("x_train",))["x_train"], [0, 1, 2])
