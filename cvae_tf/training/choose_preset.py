"""The settings of a new run: those that were asked for, the others as they suit the images."""

import dataclasses
from typing import Any

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core.messages import say
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.greyness import look_at


def complete(config: Config | None, given: dict[str, Any], dataset: Dataset) -> Config:
    """Completes the settings of a new run, and says which preset was chosen for which images.

    Args:
        config: all settings, if they are known.
        given: otherwise those that were asked for, by name.
        dataset: what the run learns from.

    Returns:
        All settings.

    Raises:
        UserError: if they make no sense together, or for such images.
    """
    if config is not None:
        return _completed(config, dataset)
    looks = look_at(dataset.train.images)
    config = Config.create_for_images(looks.are_black_and_white, **given)
    config = _completed(config, dataset)
    own = registry.FAMILIES[config.model].preset
    if "preset" not in given and own:
        say(f"preset:  {config.preset}, the one of --model={config.model}")
    elif "preset" not in given:
        are_made_so = given.get("binarize", "none") != "none"
        why = "are made black and white" if are_made_so else looks.description
        say(f"preset:  {config.preset}, because the images {why}")
    return config


def _completed(config: Config, dataset: Dataset) -> Config:
    """Checks the settings for such images; the family chooses those that were left to it."""
    config.check_by_family(dataset.image_shape)
    complete = registry.FAMILIES[config.model].complete
    if not complete:
        return config
    chosen, why = registry.import_home(complete)(
        config, dataset.image_shape, len(dataset.train.images)
    )
    if why:
        say(f"images:  {why}")
    return dataclasses.replace(config, **chosen)
