"""Files of strangers are read without running or believing what they hold."""

import pickle
import zipfile

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.core.files import read_npz

ARRAY = np.random.default_rng(0).integers(0, 256, 10_000).astype(np.uint8)


class _Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def _refused(path, reason=""):
    with pytest.raises(
        UserError, match=f"^{path}: cannot be read as arrays; [^\n]*{reason}[^\n]*$"
    ):
        read_npz(path, ("x_train",))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_were_saved(path, save):
    for dtype in ("u1", ">f4", "U3", bool):
        array = np.arange(24).reshape(2, 3, 4).astype(dtype)
        saved = {"a": array, "f": np.asfortranarray(array), "scalar": np.array(7)}
        save(path, **saved, other=array)
        arrays = read_npz(path, ("a", "f", "scalar", "missing"))
        assert set(arrays) == set(saved)
        for name, expected in saved.items():
            assert arrays[name].dtype == expected.dtype
            np.testing.assert_array_equal(arrays[name], expected)
    np.save(path.with_suffix(".npy"), ARRAY)
    lone = read_npz(path.with_suffix(".npy"), (), lone="x_train")
    np.testing.assert_array_equal(lone["x_train"], ARRAY)


def test_other_and_damaged_files_are_refused_and_pickles_never_run(path):
    _refused(path, "No such file")
    for save in (np.savez, np.savez_compressed):
        save(path, x_train=ARRAY)
        whole = path.read_bytes()
        flipped = whole[:5000] + bytes(255 - byte for byte in whole[5000:5010]) + whole[5010:]
        for content in (b"", b"just some text\n" * 20, flipped, whole[: len(whole) // 2]):
            path.write_bytes(content)
            _refused(path)
    trap = np.array([_Trap()])
    np.savez(path, allow_pickle=True, x_train=trap)
    _refused(path, "Object arrays")
    path.write_bytes(pickle.dumps(trap))
    _refused(path, "pickled")


def _header(shape, descr="'|u1'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()


BAD_HEADERS = [b"\x00\xff\x00\xff", _header((1,), "open('sprung', 'w')"), _header((-1, 5)),
               _header((0, 10**12, 10**12)), _header((10**12,)), _header((6,))]  # fmt: skip


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_bad_headers_are_refused_and_those_not_asked_for_not_looked_at(path, header):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"12345"
    np.savez(path, other=ARRAY)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", content)
    _refused(path)
    np.testing.assert_array_equal(read_npz(path, ("other",))["other"], ARRAY)
