"""Files of strangers are read without running or believing what they hold."""

import pickle

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
    told = f"^{path}: cannot be read as arrays; [^\n]*{reason}[^\n]*$"
    with pytest.raises(UserError, match=told):
        read_npz(path, ("x_train",))


def test_arrays_come_back_as_they_were_saved(path):
    array = np.arange(24).reshape(2, 3, 4).astype(">f4")
    saved = {"a": array, "f": np.asfortranarray(array), "text": np.array(["x", "yz"])}
    np.savez_compressed(path, **saved, other=array)
    arrays = read_npz(path, (*saved, "missing"))
    assert arrays.keys() == saved.keys()
    for name, expected in saved.items():
        assert arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(arrays[name], expected)
    np.save(path.with_suffix(".npy"), ARRAY)
    lone = read_npz(path.with_suffix(".npy"), (), lone="x_train")
    np.testing.assert_array_equal(lone["x_train"], ARRAY)


def test_other_and_damaged_files_are_refused_and_pickles_never_run(path):
    _refused(path, "No such file")
    np.savez(path, x_train=ARRAY)
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
