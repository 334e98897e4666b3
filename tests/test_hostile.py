"""Files and tensors from strangers: any bytes, any values; an answer or a clear error, no more."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, tiny_cvae, tiny_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data.own_file import load_npz
from cvae_tf.exporting import writing
from cvae_tf.models.signature_parts import LARGEST_SAMPLE
from cvae_tf.training import checkpoint_files, run_directory
from cvae_tf.training.checkpoint_files import Progress

REFUSED = (tf.errors.InvalidArgumentError, ValueError, TypeError)
settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("project")


def _npz(compressed, **arrays):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


IMAGES = {"x_train": tiny_images(9), "x_test": tiny_images(3), "y_train": np.arange(9)}
GOOD_FILES = [_npz(False, **IMAGES), _npz(True, **IMAGES)]
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)


def _changed(content, places, length):
    """Bytes with some of them overwritten, cut off after a part of their length."""
    content = bytearray(content)
    for place, byte in places:
        content[int(place * len(content))] = byte
    return bytes(content[: int(length * len(content))])


@given(good=st.sampled_from(GOOD_FILES), places=changes, length=st.sampled_from([1.0, 1.0, 0.7]))
def test_damaged_image_files_are_read_or_refused(tmp_path, good, places, length):
    path = tmp_path / "images.npz"
    path.write_bytes(_changed(good, places, length))
    try:
        dataset = load_npz(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert dataset.train.images.dtype == dataset.test.images.dtype == np.uint8


@given(content=st.binary(max_size=300))
def test_any_bytes_for_images_are_refused(tmp_path, content):
    path = tmp_path / "images.npz"
    path.write_bytes(content)
    with pytest.raises(UserError):
        load_npz(path)


arrays = st_numpy.arrays(
    dtype=st.one_of(
        st_numpy.scalar_dtypes(), st_numpy.unicode_string_dtypes(), st_numpy.byte_string_dtypes()
    ),
    shape=st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3),
)


@given(x_train=arrays, y_train=st.none() | arrays)
def test_any_arrays_for_images_are_read_or_refused(tmp_path, x_train, y_train):
    path = tmp_path / "images.npz"
    labels = {} if y_train is None else {"y_train": y_train}
    np.savez(path, x_train=x_train, **labels)
    try:
        dataset = load_npz(path)
    except UserError:
        return
    assert dataset.train.images.ndim == 4
    assert dataset.train.images.dtype == np.uint8


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
GOOD_CONFIG = {
    "config": Config.create().to_json(),
    "data": {"image_shape": [6, 6, 1], "name": "toy", "train_images": 40, "sha256": ""},
}


@given(
    section=st.sampled_from(["config", "data"]),
    name=st.sampled_from([*GOOD_CONFIG["config"], *GOOD_CONFIG["data"], "other"]),
    value=json_values,
)
def test_any_setting_in_a_config_file_is_read_or_refused(tmp_path, section, name, value):
    contents = {**GOOD_CONFIG, section: {**GOOD_CONFIG[section], name: value}}
    (tmp_path / "config.json").write_text(json.dumps(contents))
    try:
        run = run_directory.load_run(str(tmp_path))
    except UserError as error:
        assert "config.json" in str(error)
    else:
        assert isinstance(run.config, Config)


@given(
    content=st.one_of(st.binary(max_size=200), json_values.map(lambda v: json.dumps(v).encode()))
)
def test_any_config_file_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json"):
        run_directory.load_run(str(tmp_path))


@pytest.fixture(scope="module")
def good_checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("good")
    model = tiny_cvae()
    model.optimizer.build(model.trainable_variables)
    path = checkpoint_files.save_checkpoint(directory, model, Progress(2, 1, [{"step": 1}][:0]))
    return (path / "state.npz").read_bytes()


@given(places=changes, length=st.sampled_from([1.0, 0.9]))
def test_checkpoints_with_false_sums_are_restored_or_refused(
    tmp_path, good_checkpoint, places, length
):
    path = tmp_path / "step_00000001"
    path.mkdir(exist_ok=True)
    (path / "state.npz").write_bytes(_changed(good_checkpoint, places, length))
    (path / "SHA256SUMS").write_text(f"{checkpoint_files._sha256(path / 'state.npz')}  state.npz\n")
    try:
        progress, _ = checkpoint_files.restore_newest(tmp_path, tiny_cvae())
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(progress, Progress)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served") / "1"
    writing.write_model(tiny_cvae(), "saved_model", directory, METADATA)
    return tf.saved_model.load(str(directory))


tensors = st_numpy.arrays(
    dtype=st.sampled_from([np.float32, np.float64, np.int32, np.uint8]),
    shape=st.one_of(
        st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7),
        st.integers(0, 3).map(lambda num: (num, 6, 6, 1)),
    ),
)


@given(name=st.sampled_from(["encode", "reconstruct", "score", "decode"]), tensor=tensors)
def test_any_tensor_is_answered_or_refused(served, name, tensor):
    signature = served.signatures[name]
    argument = "latents" if name == "decode" else "images"
    seed = {"seed": tf.constant([1, 2])} if name == "score" else {}
    try:
        answers = signature(**{argument: tf.constant(tensor)}, **seed)
    except REFUSED:
        return
    assert tensor.dtype == np.float32
    assert np.isfinite(tensor).all()
    for answer in answers.values():
        assert np.isfinite(answer).all()
        assert len(answer) == len(tensor)


@given(num=st.integers(-(2**31), 2**31 - 1))
def test_any_number_of_samples_is_given_or_refused(served, num):
    sample = served.signatures["sample"]
    try:
        images = sample(num=tf.constant(num), seed=tf.constant([0, 0]))["images"]
    except tf.errors.InvalidArgumentError as error:
        assert "num must be from 0 to" in str(error)
        assert not 0 <= num <= LARGEST_SAMPLE
    else:
        assert len(images) == num
