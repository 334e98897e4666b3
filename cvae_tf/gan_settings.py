"""Settings of a GAN alone."""

import dataclasses

from cvae_tf import registry
from cvae_tf.core.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanSettings:
    """How generator and discriminator learn from each other."""

    gan_loss: str = setting(
        "What the two are to make small.", "non_saturating", choices=registry.GAN_LOSSES,
        family="gan",
    )  # fmt: skip
    r1: float = setting(
        "Weight of the penalty on the discriminator's gradient at real images; 0: none.", 0.0,
        least=0, most=10**4, family="gan",
    )  # fmt: skip
    spectral_norm: bool = setting(
        "Keep the layers of the discriminator at norm one.", False, family="gan"
    )
    diff_augment: str = setting(
        "What is changed by chance of real and drawn images alike, with commas between: mirror, "
        "translation, cutout, colour; none; or auto: mirror for colours, translation for fewer "
        "than 20,000 images.",
        "auto",
        family="gan",
    )
    beta1: float = setting(
        "Of Adam: how long gradients are averaged.", 0.5, least=0, most=0.9999, family="gan"
    )
    beta2: float = setting(
        "Of Adam: how long their squares are averaged.", 0.99, least=0, most=0.999999, family="gan"
    )
