"""The networks of an exported model, as Keras models again."""

import keras

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.families import FAMILIES


def networks_of(model: LoadedModel) -> dict[str, keras.Model] | None:
    """Builds the networks by the settings in `model.json`, with the weights of the SavedModel.

    Args:
        model: an exported model.

    Returns:
        The networks by name; None if the settings or the weights are not those of this version.
    """
    kept = getattr(model.functions, "variables", ())
    try:
        config = Config.from_json(model.metadata.get("config"))
        classes = len(model.class_names)
        built = find("model", FAMILIES, config.model).build(config, model.image_shape, 1, classes)
    except UserError:
        return None
    # `saved_model.write` tracks the networks first, in this order.
    own = [each for network in built.networks.values() for each in network.variables]
    if [each.shape for each in own] != [tuple(each.shape) for each in kept[: len(own)]]:
        return None
    for each, value in zip(own, kept[: len(own)], strict=True):
        each.assign(value)
    return dict(built.networks)
