"""Which settings of a GAN fit together; the standard library is enough to know."""

from typing import Any

from cvae_tf.core.errors import UserError

KINDS = ("mirror", "translation", "cutout", "colour")  # of changes that both networks live with
_MANY = 20_000  # training images, from which on a network learns none by heart in an hour
_OPTIMIZERS = ("adam", "adamw", "adamax", "lion")  # which look back by beta1 and beta2


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
            f"--r1={config.r1:g}: --gan_loss=wgan_gp has a gradient penalty of its own; give "
            "--r1=0."
        )
    kinds = _listed(config.diff_augment)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(
            f"--diff_augment={config.diff_augment}: {unknown[0]!r} is unknown; choose from "
            f"{', '.join(KINDS)}, none, auto."
        )
    if image_shape and image_shape[-1] == 1 and "colour" in kinds:
        raise UserError(f"--diff_augment={config.diff_augment}: the images have no colours.")


def kinds_for(
    diff_augment: str, image_shape: tuple[int, int, int], num_images: int
) -> tuple[str, ...]:
    """The kinds of change for training images: those asked for, or such as suit them.

    Few images are shifted, so that they are not learned by heart; of many, that only takes time.
    """
    if diff_augment != "auto":
        return tuple(_listed(diff_augment))
    of_colours = ("mirror",) if image_shape[-1] == 3 else ()
    return (*of_colours, *(("translation",) if num_images < _MANY else ()))


def _listed(diff_augment: str) -> list[str]:
    return [] if diff_augment in ("none", "auto") else diff_augment.split(",")
