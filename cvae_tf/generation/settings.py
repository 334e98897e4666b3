"""The settings of `generate.py`; each mode uses or refuses them."""

import dataclasses

from cvae_tf.core import settings
from cvae_tf.core.settings import setting
from cvae_tf.data.pictures import ImageSettings
from cvae_tf.presets import MOST_REFINE_STEPS

MODE_NAMES = {  # with a few words each, for help
    "samples": "images from the prior",
    "manifold": "the whole latent space",
    "nearest": "samples over the nearest training images (--data_path: where these are, if moved)",
    "reconstruct": "images over their reconstructions",
    "interpolate": "the way between two images or latents",
    "neighbours": "more like one image",
    "class": "images of a label",
    "styles": "latents in all classes, as a table",
    "transfer": "the style of images in all classes",
    "anomalies": "the most unusual images",
    "denoise": "noisy images in, clean ones out",
    "latents": "posterior and score of each image",
}
SCORES = ("relative", "elbo")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationSettings(ImageSettings):
    """Settings of all modes; `modes.MODES` names those that each mode uses."""

    num: int = setting("Number of images to make or show.", 64, least=1, most=10**7)
    seed: int = setting(
        "The same seed gives the same images.", 0, least=0, most=settings.LARGEST_SEED
    )
    plain: bool = setting("Draw the images alone, without title and names.", False)
    individual: bool = setting("Write each image to a file of its own.", False)
    index: int = setting("Which of the images to use, counted from 0.", 0, least=0, most=10**9)
    start: str = setting(
        "Where to begin: an image by its number (0), or latents (0.5,-1.2); of a model without an "
        "encoder what a seed (0) draws.",
        "0",
    )
    end: str = setting("Where to end, as in --start.", "1")
    spread: float = setting(
        "How far to go, in standard deviations of the posterior, or of the prior if a conditional "
        "model draws a class.",
        1.0,
        least=0,
        most=100,
    )
    label: str | None = setting("Which label to make images of.", None)
    noise: float = setting(
        "Share of the pixels that are flipped first, to have noise.", 0.0, least=0, most=0.5
    )
    false_alarms: float | None = setting(
        "Mark images as unusual at such a rate that of usual ones this share is marked too; by "
        "default none.",
        None, least=0, most=1,
    )  # fmt: skip
    refine: int = setting(
        "Gauss-Newton steps from the encoder's posteriors to better ones; 0: none.",
        0, least=0, most=MOST_REFINE_STEPS,
    )  # fmt: skip
    score: str | None = setting(
        "What images are sorted by. elbo: of the encoder's posteriors; relative: the same, less "
        "what usual images have that are, or are reconstructed, as complex. By default relative, "
        "or what the model has in its place.",
        None, choices=SCORES,
    )  # fmt: skip

    def __post_init__(self):
        """Raises a UserError that names the first setting that is out of its range."""
        settings.check(self)
