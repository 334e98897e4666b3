"""Finding and loading exported models, also damaged ones."""

import shutil

import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.exporting import loading


def test_place_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no SavedModel"):
        loading.load(tmp_path)


def test_damaged_model_is_refused(exported_digits, tmp_path):
    shutil.copytree(exported_digits, tmp_path / "1")
    graph = tmp_path / "1" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be loaded"):
        loading.load(tmp_path / "1")


@pytest.mark.parametrize("metadata", ["[]", '{"config": null}'])
def test_damaged_metadata_is_refused(exported_digits, tmp_path, metadata):
    shutil.copytree(exported_digits, tmp_path / "1")
    (tmp_path / "1" / "model.json").write_text(metadata)
    with pytest.raises(UserError, match="model.json: does not say"):
        loading.load(tmp_path / "1")


def test_model_of_something_else_is_refused(tmp_path):
    module = tf.Module()
    module.decode = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None, 2])])
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(UserError, match="without sample, decode"):
        loading.load(tmp_path)
