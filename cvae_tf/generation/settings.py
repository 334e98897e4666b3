"""What can be asked of a model: the settings of `generate.py` and `evaluate.py`, nothing else."""

import dataclasses
from typing import Any

from cvae_tf.config import LARGEST_SEED, check_number, check_whole_number, setting
from cvae_tf.core.errors import UserError

_IMAGES = ("data_path", "resize", "invert")
SETTINGS_BY_MODE = {
    "samples": ("num", "seed", "individual"),
    "manifold": (),
    "reconstruct": ("num", *_IMAGES),
    "interpolate": ("start", "end", *_IMAGES),
    "neighbours": ("index", "num", "seed", "spread", *_IMAGES),
    "digit": ("label", "num", "seed", "spread", *_IMAGES),
    "anomalies": ("num", "seed", *_IMAGES),
    "denoise": ("num", "seed", "noise", *_IMAGES),
    "latents": ("seed", *_IMAGES),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Which images to work on, and what may be done to them."""

    data_path: str | None = setting(
        "Images to work on: an .npz, a picture, or a folder of pictures; "
        "without it, the test images of the model's own data set.",
        None,
    )
    resize: bool = setting("Fit images of other sizes to the model's.", False)
    invert: bool | None = setting("Exchange black and white in the images.", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(ImageSettings):
    """Settings of all modes; each mode looks at those that `SETTINGS_BY_MODE` names."""

    num: int = setting("Number of images to make or show.", 64)
    seed: int = setting("The same seed gives the same images.", 0)
    individual: bool = setting("Write each image to a file of its own.", False)
    index: int = setting("Which of the images to use, counted from 0.", 0)
    start: str = setting("Where to begin: an image by its number (0), or latents (0.5,-1.2).", "0")
    end: str = setting("Where to end, as in --start.", "1")
    spread: float = setting("How far to go, in standard deviations of the posterior.", 1.0)
    label: str | None = setting("Which label to make images of.", None)
    noise: float = setting("Share of the pixels that are flipped first, to have noise.", 0.0)

    def __post_init__(self):
        """Refuses values that make no sense.

        Raises:
            UserError: naming the first setting that is out of its range.
        """
        for name, low, high in (("num", 1, 10**7), ("seed", 0, LARGEST_SEED), ("index", 0, 10**9)):
            check_whole_number(name, getattr(self, name), low, high)
        for name, high in (("spread", 100.0), ("noise", 0.5)):
            check_number(name, getattr(self, name), high)

    @classmethod
    def create(cls, mode: str, **settings: Any) -> "Request":
        """Takes the settings that were given, which must be such that the mode looks at.

        Args:
            mode: a name in `SETTINGS_BY_MODE`.
            **settings: values of fields.

        Returns:
            The request.

        Raises:
            UserError: if a setting would do nothing, or is out of its range.
        """
        for name in settings:
            if name not in SETTINGS_BY_MODE[mode]:
                users = ", ".join(
                    other for other, names in SETTINGS_BY_MODE.items() if name in names
                )
                raise UserError(f"--{name} does nothing with --mode={mode}; it is for {users}.")
        return cls(**settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationRequest(ImageSettings):
    """Settings of an evaluation."""

    samples: int = setting("Posterior samples of each image for the ELBO.", 10)
    importance_samples: str = setting(
        "Numbers of samples for the importance-weighted bounds.", "1,10,100,1000,5000"
    )
    batch_size: int = setting("Images, and latents, that are worked on at once.", 1000)
    seed: int = setting("The same seed gives the same numbers on the same machine.", 0)

    def __post_init__(self):
        """Refuses values that make no sense.

        Raises:
            UserError: naming the first setting that is out of its range.
        """
        for name, high in (("samples", 10**6), ("batch_size", 10**6)):
            check_whole_number(name, getattr(self, name), 1, high)
        check_whole_number("seed", self.seed, 0, LARGEST_SEED)
        parts = self.importance_samples.split(",")
        if not all(part.isdecimal() and 1 <= int(part) <= 10**7 for part in parts):
            raise UserError(
                f"--importance_samples={self.importance_samples}: must be whole numbers from 1, "
                "such as 1,10,100."
            )

    @property
    def sizes(self) -> list[int]:
        """The numbers of importance samples, rising."""
        return sorted({int(part) for part in self.importance_samples.split(",")})
