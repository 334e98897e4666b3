"""The settings of a new run: those that were asked for, the others as they suit the images."""

import dataclasses
from typing import Any

from cvae_tf import registry
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import say, warn
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.greyness import Looks, are_identical, look_at
from cvae_tf.data.pictures import Form


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
    looks = look_at(dataset.train.images)
    if are_identical(dataset.train.images):
        hint = " If their files differ, see --white_level and --background." if dataset.form else ""
        raise UserError(
            f"{dataset.name}: all training images are the same one, of {looks.levels}.{hint}"
        )
    if looks.are_nearly_all_the_same:
        warn("nearly all training images are the same one.")
    _warn_of_range(looks, dataset.form)
    _warn_of_test_images(looks, look_at(dataset.test.images))
    if config is not None:
        return _completed(config, dataset, looks)
    config = Config.create_for_images(looks.are_black_and_white, **given)
    config = _completed(config, dataset, looks)
    own = registry.FAMILIES[config.model].preset
    if "preset" not in given and own:
        say(f"preset:  {config.preset}, the one of --model={config.model}")
    elif "preset" not in given:
        are_made_so = given.get("binarize", "none") != "none"
        why = "are made black and white" if are_made_so else looks.description
        say(f"preset:  {config.preset}, because the images {why}")
    return config


def _warn_of_range(looks: Looks, form: Form | None) -> None:
    """Warns of images that use but a small part of the levels, whatever learns them."""
    if not looks.use_little_of_the_range:
        return
    which = "each" if looks.share_of_little == 1 else "nearly every"
    if not looks.are_dark:
        remedy = "raise their contrast if that is not meant"
    elif form is None:  # arrays
        remedy = "divide all by the level that is to be white if that is not meant"
    elif looks.share_of_little < 1:
        remedy = "--white_level says which level is white"
    else:
        has_eight_bits = not (form.white_level or form.deep_white_level)
        known = f"--white_level={looks.highest} or " if has_eight_bits else ""
        remedy = f"{known}--white_level=auto makes the brightest level white"
    warn(f"{which} image uses but a small part of the range: {looks.levels}; {remedy}.")


def _warn_of_test_images(train: Looks, test: Looks) -> None:
    """Warns of images for testing that seem to be in other units than those for training."""
    if test.use_little_of_the_range and not train.use_little_of_the_range:
        warn(
            "each test image uses but a small part of the range, unlike those for training: "
            f"{test.levels}."
        )


def _completed(config: Config, dataset: Dataset, looks: Looks) -> Config:
    """Checks the settings for such images; the family chooses those that were left to it."""
    config.check_by_family(dataset.image_shape)
    _check_threshold(config, looks)
    complete = registry.FAMILIES[config.model].complete
    if not complete:
        return config
    chosen, why = registry.import_home(complete)(
        config, dataset.image_shape, len(dataset.train.images)
    )
    if why:
        say(f"images:  {why}")
    return dataclasses.replace(config, **chosen)


def _check_threshold(config: Config, looks: Looks) -> None:
    """Refuses a threshold that leaves nothing of the images; warns if it takes some of them."""
    if not config.has("binarize") or config.binarize != "threshold":
        return
    if looks.vanish_at_threshold:
        raise UserError(
            f"--binarize=threshold (of --preset={config.preset}) would make nearly all images "
            f"blank or the same: {looks.levels}. Leave out both, or give --binarize=none."
        )
    if looks.suffer_at_threshold:
        warn(
            f"at the threshold {looks.share_lost:.0%} of the images lose most of what is on them: "
            f"{looks.levels}."
        )
