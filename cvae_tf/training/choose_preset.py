"""The settings of a new run: those that were asked for, the others as they suit the images."""

from typing import Any

from cvae_tf.checks import MANY_IMAGES
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.terminal import say, warn
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.inspection import Looks, are_identical, look_at
from cvae_tf.data.pictures import Form
from cvae_tf.presets import PRESETS


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
    chosen = config.for_images(looks) if config else Config.create(looks, **given)
    if chosen.has("binarize") and chosen.binarize == "threshold" and looks.suffer_at_threshold:
        warn(
            f"at the threshold {looks.share_lost:.0%} of the images lose most of what is on them: "
            f"{looks.levels}."
        )
    recipe = config.to_json() if config else {**PRESETS[chosen.preset], **given}
    if chosen.has("diff_augment") and recipe.get("diff_augment", "auto") == "auto":
        colours = "colours" if looks.shape[-1] == 3 else "grey"
        amount = "fewer than" if looks.num < MANY_IMAGES else "at least"
        why = f"for {colours}, {amount} {MANY_IMAGES:,} images"
        say(f"images:  --diff_augment={chosen.diff_augment}, {why}")
    if config is None and "preset" not in given:
        say(f"preset:  {chosen.preset}, {_why_preset(chosen, given, looks)}")
    return chosen


def _why_preset(config: Config, given: dict[str, Any], looks: Looks) -> str:
    """Says why a preset was chosen."""
    if PRESETS[config.preset].get("model"):
        return f"the one of --model={config.model}"
    are_made_so = given.get("binarize", "none") != "none"
    return f"because the images {'are made black and white' if are_made_so else looks.description}"


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
