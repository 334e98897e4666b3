"""Files of strangers are read without running, allocating or believing what they claim."""

import pickle
import zipfile

import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data.safe_npz import read_npy, read_npz

ARRAY = grey(10_000)


class _Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def _refused(path, message):
    with pytest.raises(UserError, match=f"{path}:? {message}"):
        read_npy(path) if path.suffix == ".npy" else read_npz(path, ("x_train",))


@pytest.mark.parametrize(
    ("save", "dtype"),
    [(np.savez, "u1"), (np.savez, ">f4"), (np.savez_compressed, "U3"), (np.savez_compressed, bool)],
)
def test_arrays_come_back_as_they_were_saved(path, save, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    saved = {"a": array, "f": np.asfortranarray(array), "scalar": np.array(7)}
    save(path, **saved, other=array)
    arrays = read_npz(path, ("a", "f", "scalar", "missing"))
    assert set(arrays) == set(saved)
    for name, expected in saved.items():
        assert arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(arrays[name], expected)


def test_other_and_damaged_files_are_refused(path):
    _refused(path, "no such file")
    for save in (np.savez, np.savez_compressed):
        save(path, x_train=ARRAY)
        whole = path.read_bytes()
        flipped = whole[:5000] + bytes(255 - byte for byte in whole[5000:5010]) + whole[5010:]
        for content in (b"", b"just some text\n" * 20, flipped, whole[: len(whole) // 2]):
            path.write_bytes(content)
            _refused(path, "(not an .npz file, or a truncated one|.*the file is damaged)")


def test_pickles_are_refused_and_never_run(path):
    trap = np.array([_Trap()])
    np.savez(path, allow_pickle=True, x_train=trap)
    _refused(path, "x_train holds pickled Python objects, which are never loaded")
    path.write_bytes(pickle.dumps(trap))
    _refused(path, "not an .npz file")
    np.save(path.with_suffix(".npy"), trap, allow_pickle=True)
    _refused(path.with_suffix(".npy"), "holds pickled Python objects, which are never loaded")


def _header(shape, descr="'|u1'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()


BAD_HEADERS = {
    b"\x00\xff\x00\xff": "no valid array header",
    _header((1,), "open('sprung', 'w')"): "no valid array header",
    _header((3,), "'|S0'"): "claims the type",
    _header((-1, 5)): "claims the shape",
    _header((0, 10**12, 10**12)): "claims the shape",
    _header((10**12,)): "claims .* bytes, but the file holds",
    _header((6,)): "claims 6 bytes, but the file holds 1.* at most|is truncated: 5 of 6 bytes",
}


@pytest.mark.parametrize(("header", "message"), BAD_HEADERS.items())
def test_bad_headers_are_refused_and_those_not_asked_for_not_looked_at(path, header, message):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"12345"
    np.savez(path, other=ARRAY)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", content)
    _refused(path, f"x_train .*({message})")
    np.testing.assert_array_equal(read_npz(path, ("other",))["other"], ARRAY)
    path.with_suffix(".npy").write_bytes(content)
    _refused(path.with_suffix(".npy"), f".*({message})")
