"""Files from strangers: any bytes, any values; a data set or a clear error, no more."""

import io

import numpy as np
from conftest import tiny_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from cvae_tf.core.errors import UserError
from cvae_tf.data.own_file import load_npz


def _npz(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _changed(content, places, length):
    """Bytes with some of them overwritten, cut off after a part of their length."""
    content = bytearray(content)
    for place, byte in places:
        content[int(place * len(content))] = byte
    return bytes(content[: int(length * len(content))])


IMAGES = {"x_train": tiny_images(9), "x_test": tiny_images(3), "y_train": np.arange(9)}
good_files = st.sampled_from([_npz(**IMAGES), _npz(np.savez_compressed, **IMAGES)])
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)
damaged_files = st.builds(_changed, good_files, changes, st.sampled_from([1.0, 1.0, 0.7]))
kinds = [st_numpy.scalar_dtypes, st_numpy.unicode_string_dtypes, st_numpy.byte_string_dtypes]
shapes = st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3)
arrays = st_numpy.arrays(st.one_of(*(kind() for kind in kinds)), shapes)
files_of_arrays = st.builds(_npz, x_train=arrays) | st.builds(_npz, x_train=arrays, y_train=arrays)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=damaged_files | files_of_arrays | st.binary(max_size=300))
def test_any_file_of_images_is_read_or_refused(tmp_path, content):
    path = tmp_path / "images.npz"
    path.write_bytes(content)
    try:
        dataset = load_npz(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert dataset.train.images.dtype == dataset.test.images.dtype == np.uint8
        assert dataset.train.images.ndim == 4
