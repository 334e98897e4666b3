"""Which settings of a GAN fit together; the standard library is enough to know."""

from typing import Any

from cvae_tf.core.errors import UserError

KINDS = ("mirror", "translation", "cutout", "colour")  # of changes that both networks live with
_MANY = 20_000  # training images, from which on a network learns none by heart in an hour
_OPTIMIZERS = ("adam", "adamw", "adamax")  # which look back by beta1, also if it is 0, and beta2


def check(config: Any, image_shape: tuple[int, int, int] | None = None) -> None:
    """Refuses settings that contradict each other.

    Args:
        config: a `Config`.
        image_shape: height, width and channels of the images, once they are known.

    Raises:
        UserError: if a kind of change is unknown or not one of such images, the optimizer does not
            fit, or the penalty is one of another loss.
    """
    if config.optimizer not in _OPTIMIZERS:
        raise UserError(
            f"--optimizer={config.optimizer}: a GAN needs --beta1 and --beta2; choose from "
            f"{', '.join(_OPTIMIZERS)}."
        )
    if config.gan_loss == "wgan_gp" and config.r1:
        raise UserError(
            f"--gan_loss=wgan_gp has a gradient penalty of its own, and knows no other "
            f"(--r1={config.r1:g}, by a flag or the preset); give --r1=0."
        )
    if config.spectral_norm and config.precision != "float32":
        raise UserError(
            f"--spectral_norm with --precision={config.precision}: norms are divided out of the "
            "weights themselves, which would be rounded; leave out one of the two."
        )
    kinds = kinds_of(config.diff_augment)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(
            f"--diff_augment={config.diff_augment}: {unknown[0]!r} is unknown; choose from "
            f"{', '.join(KINDS)}, none, auto."
        )
    if image_shape and image_shape[-1] == 1 and "colour" in kinds:
        raise UserError(f"--diff_augment={config.diff_augment}: the images have no colours.")


def complete(
    config: Any, image_shape: tuple[int, int, int], num_images: int
) -> tuple[dict[str, str], str]:
    """Chooses what was left to the images: which changes both networks live with.

    Few images are shifted, so that they are not learned by heart; of many, that only takes time.

    Args:
        config: a `Config`.
        image_shape: height, width and channels.
        num_images: for training.

    Returns:
        Settings with their values, and for people what was chosen and why.
    """
    if config.diff_augment != "auto":
        return {}, ""
    has_colours, are_few = image_shape[-1] == 3, num_images < _MANY
    kinds = ["mirror"] * has_colours + ["translation"] * are_few
    chosen = ",".join(kinds) or "none"
    why = f"{'colours' if has_colours else 'grey'}, {'fewer than' if are_few else 'at least'}"
    return {"diff_augment": chosen}, f"--diff_augment={chosen}, for {why} {_MANY:,} images"


def kinds_of(diff_augment: str) -> tuple[str, ...]:
    """The kinds of change, one by one; none if "auto" was not settled by `complete`."""
    return () if diff_augment in ("none", "auto") else tuple(diff_augment.split(","))
