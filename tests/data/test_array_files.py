import io

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.array_files import read_arrays
from cvae_tf.data.datasets import fingerprint, load_dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 9, 8), np.uint8)
NAMES = ("x_train", "y_train")


def test_an_npy_is_the_images_themselves(tmp_path):
    np.save(tmp_path / "mine.npy", np.asfortranarray(IMAGES))
    arrays = read_arrays(tmp_path / "mine.npy", NAMES, ["other", "x_train"])
    np.testing.assert_array_equal(arrays.pop("x_train"), IMAGES)
    assert not arrays


def test_images_of_an_npy_are_those_of_an_npz(tmp_path):
    np.save(tmp_path / "mine.npy", IMAGES)
    np.savez(tmp_path / "mine.npz", x_train=IMAGES)
    one, other = (load_dataset(data_path=tmp_path / f"mine.{kind}") for kind in ("npy", "npz"))
    assert fingerprint(one) == fingerprint(other)


def _npy(array):
    with io.BytesIO() as file:
        np.save(file, array, allow_pickle=True)
        return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_npy(IMAGES)[:-1], " is truncated: 863 of 864 bytes"),
        (_npy(IMAGES)[:300], " claims 864 bytes, but the file holds 300 at most"),
        (_npy(IMAGES)[:50], " has no valid array header"),
        (_npy(np.array([{}])), " holds pickled Python objects, which are never loaded"),
    ],
)
def test_an_npy_is_as_little_trusted_as_an_npz(tmp_path, content, reason):
    (tmp_path / "mine.npy").write_bytes(content)
    with pytest.raises(UserError, match=f"mine.npy{reason}"):
        read_arrays(tmp_path / "mine.npy", NAMES, NAMES[:1])


def test_arrays_of_other_names_are_named_with_what_to_write(tmp_path):
    np.savez(tmp_path / "mine.npz", ids=np.zeros(5), pixels=IMAGES, kinds=np.arange(12))
    with pytest.raises(UserError) as error:
        read_arrays(tmp_path / "mine.npz", NAMES, ["x_test", "x_train", "images"])
    assert str(error.value) == (
        f"{tmp_path / 'mine.npz'}: holds no array x_test, x_train or images; it holds "
        "ids float64[5], pixels uint8[12, 9, 8], kinds int64[12]. Call the images x_train, as by "
        "data = numpy.load('mine.npz'); numpy.savez('images.npz', x_train=data['pixels'], "
        "y_train=data['kinds'])."
    )


def test_many_arrays_are_counted(tmp_path):
    np.savez(tmp_path / "mine.npz", **{f"part_{i}": np.zeros(3) for i in range(7)})
    with pytest.raises(UserError, match=r"part_4 float64\[3\] and 2 more.*x_train=\.\.\.\)"):
        read_arrays(tmp_path / "mine.npz", NAMES, NAMES[:1])
