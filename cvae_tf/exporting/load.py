"""Rebuilds a model from a run or an exported model."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from cvae_tf.config import Config
from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.exporting.formats import describe_run
from cvae_tf.models import FAMILIES
from cvae_tf.models.base import GenerativeModel
from cvae_tf.training import building, run_directory
from cvae_tf.training.run_directory import MODEL_JSON, SAVED_MODEL

_GRAPH = "saved_model.pb"
_OF_NETWORKS = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"  # their variables, in order
_WHITE_ABOVE = 0.5


def load(directory: str | os.PathLike) -> GenerativeModel:
    """Loads a trained model: the export of a run, or its newest checkpoint if there is none.

    Args:
        directory: of a SavedModel, of its numbered parent, or of a run; or a finished run.

    Returns:
        The model. Its methods take tensors and give tensors, and take arrays and give arrays; its
        `metadata` are the contents of `model.json`.

    Raises:
        UserError: if there is no model, or this version cannot build its networks.
    """
    path = paths.expand(directory)
    for exported in (path, path / SAVED_MODEL, path / SAVED_MODEL.name):
        if (exported / _GRAPH).is_file():
            return _load_exported(exported)
    if run_directory.is_run(path):
        return load_newest(path)
    raise UserError(
        f"{path}: holds neither a SavedModel nor a run; train.py writes a SavedModel to "
        f"{SAVED_MODEL} in its run directory."
    )


def load_newest(run_dir: Path) -> GenerativeModel:
    """Loads the newest good checkpoint of a run, even if there is an export.

    Raises:
        UserError: if there is no run or no good checkpoint in it.
    """
    trained = building.load_trained(run_dir)
    metadata = describe_run(trained.run, trained.model, trained.metrics)
    return trained.model.for_inference().with_metadata(metadata)


def as_loaded(model: GenerativeModel | str | os.PathLike) -> GenerativeModel:
    """Loads a model from its directory, unless it is loaded already."""
    return model if isinstance(model, GenerativeModel) else load(model)


def introduce(model: GenerativeModel, given: GenerativeModel | str | os.PathLike) -> str:
    """Tells people which model is used, and where it comes from if a directory was given."""
    known = model.metadata
    config, epoch = known.get("config", {}), (known.get("metrics") or {}).get("epoch")
    where = "" if given is model else f"{paths.shown(paths.expand(given).resolve())}: "
    network = f", network {config['network']}" if config.get("network") else ""
    dimensions = f"{model.latent_dim} latent dimension{'s' * (model.latent_dim > 1)}"
    run = run_of(given)
    is_unfinished = run and not (run / SAVED_MODEL / _GRAPH).is_file()
    learned = f", epoch {epoch}{' of an unfinished run' if is_unfinished else ''}" if epoch else ""
    data = f", trained on {known['data']['name']}" if known.get("data", {}).get("name") else ""
    what = f"preset {config['preset']}" if "preset" in config else known.get("title", "a model")
    return f"model:   {where}{what}{network}, {dimensions}{learned}{data}"


def run_of(model: GenerativeModel | str | os.PathLike) -> Path | None:
    """The directory of a run, if that is what was given."""
    if isinstance(model, GenerativeModel):
        return None
    path = paths.expand(model)
    return path if run_directory.is_run(path) else None


def _load_exported(path: Path) -> GenerativeModel:
    """Builds the networks from `model.json`, with the weights of the SavedModel."""
    try:
        metadata = files.read_json(path / MODEL_JSON)
        model = _build(metadata["config"], metadata["data"])
        variables = _read_variables(path, model)
    except (UserError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: this version cannot build the networks of this model again ({error}); "
            f'tf.saved_model.load("{path}") loads it without them.'
        ) from error
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be loaded, it may be damaged ({error}).") from error
    for variable, value in variables:
        variable.assign(value)
    return model.with_metadata(metadata)


@usual_settings()
def _build(settings: dict[str, Any], data: dict[str, Any]) -> GenerativeModel:
    """Builds an exported model, with or without a run, with fresh weights."""
    if "network" not in settings:
        raise UserError("its networks were made by hand, not by a name")
    config = Config.from_json(settings) if "preset" in settings else Config.create(**settings)
    classes = len(data.get("class_names", ())) if config.conditional else 0
    if config.conditional and not classes:
        raise UserError(f"{MODEL_JSON} does not name its classes")
    family = find("model", FAMILIES, config.model)
    return family.build(config, tuple(data["image_shape"]), 1, classes).for_inference()


def _read_variables(path: Path, model: GenerativeModel) -> list[tuple[Any, np.ndarray]]:
    """Finds the values of all variables of a model, without the graph of the SavedModel.

    `saved_model.write` tracks the networks first, in their order; parts that were fitted
    at the end are there by name.
    """
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    graph = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    stored = [each for node in graph.nodes for each in node.attributes]
    keys = {each.full_name.rpartition("/")[2]: each.checkpoint_key for each in stored}
    own = [each for network in model.networks.values() for each in network.variables]
    wanted = [(each, _OF_NETWORKS.format(place)) for place, each in enumerate(own)]
    learned = [each for part in model.fitted_parts.values() for each in part.variables]
    wanted += [(each, keys[name]) for each in learned if (name := each.name) in keys]
    shapes = reader.get_variable_to_shape_map()
    if any(shapes.get(key) != list(variable.shape) for variable, key in wanted):
        raise ValueError("its weights are of other shapes")
    return [(variable, reader.get_tensor(key)) for variable, key in wanted]


def as_known(images: np.ndarray, metadata: dict[str, Any]) -> np.ndarray:
    """Images, uint8 or in [0, 1], as the model sees them, so that real and drawn ones compare."""
    if not metadata.get("black_and_white"):
        return images
    white = _WHITE_ABOVE * 255 if images.dtype == np.uint8 else _WHITE_ABOVE
    return (images > white).astype(np.float32)
