"""Files from strangers: any bytes, any values; an answer or a clear error, no more."""

import hashlib
import io
import json

import numpy as np
import pytest
from conftest import tiny_cvae, tiny_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data.own_file import load_npz
from cvae_tf.training import checkpoint_files, run_directory
from cvae_tf.training.checkpoint_files import Progress

some_examples = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _npz(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


IMAGES = {"x_train": tiny_images(9), "x_test": tiny_images(3), "y_train": np.arange(9)}
GOOD_FILES = [_npz(**IMAGES), _npz(np.savez_compressed, **IMAGES)]
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)


def _changed(content, places, length):
    """Bytes with some of them overwritten, cut off after a part of their length."""
    content = bytearray(content)
    for place, byte in places:
        content[int(place * len(content))] = byte
    return bytes(content[: int(length * len(content))])


damaged_files = st.builds(
    _changed, st.sampled_from(GOOD_FILES), changes, st.sampled_from([1.0, 1.0, 0.7])
)
kinds = [st_numpy.scalar_dtypes, st_numpy.unicode_string_dtypes, st_numpy.byte_string_dtypes]
shapes = st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3)
arrays = st_numpy.arrays(st.one_of(*(kind() for kind in kinds)), shapes)
files_of_arrays = st.builds(_npz, x_train=arrays) | st.builds(_npz, x_train=arrays, y_train=arrays)


@settings(some_examples, max_examples=60)
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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
GOOD_CONFIG = {
    "config": Config.create().to_json(),
    "data": {"image_shape": [6, 6, 1], "name": "toy", "train_images": 40, "sha256": ""},
}


@st.composite
def changed_configs(draw):
    section = draw(st.sampled_from(["config", "data"]))
    name = draw(st.sampled_from([*GOOD_CONFIG[section], "other"]))
    return {**GOOD_CONFIG, section: {**GOOD_CONFIG[section], name: draw(json_values)}}


@some_examples
@given(content=st.binary(max_size=200) | (changed_configs() | json_values).map(json.dumps))
def test_any_config_file_is_read_or_refused(tmp_path, content):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "config.json").write_bytes(content)
    try:
        run = run_directory.load_run(str(tmp_path))
    except UserError as error:
        assert "config.json" in str(error)
    else:
        assert isinstance(run.config, Config)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model, and what its checkpoint holds."""
    model = tiny_cvae()
    model.optimizer.build(model.trainable_variables)
    path = checkpoint_files.save_checkpoint(
        tmp_path_factory.mktemp("good"), model, Progress(2, 1, [])
    )
    return model, (path / "state.npz").read_bytes()


@some_examples
@given(places=changes, length=st.sampled_from([1.0, 0.9]))
def test_checkpoints_with_false_sums_are_restored_or_refused(tmp_path, saved, places, length):
    model, good = saved
    path, content = tmp_path / "step_00000001", _changed(good, places, length)
    path.mkdir(exist_ok=True)
    (path / "state.npz").write_bytes(content)
    (path / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  state.npz\n")
    try:
        progress, _ = checkpoint_files.restore_newest(tmp_path, model)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(progress, Progress)
