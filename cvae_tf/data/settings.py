"""How pictures become images, and which images a model in use works on; without TensorFlow."""

import contextlib
import dataclasses
import math
import re
from typing import Any

from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import check, setting

FITS = ("crop", "pad", "stretch")
PAGES = ("first", "all")
CACHE_MB = 2048  # megabytes of images that are held in memory
AUTO = "auto"  # a white level that the data decide
SMALLEST_SIDE, LARGEST_SIDE = 8, 256  # of an image, in pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How the pictures of a folder become images of one size."""

    image_size: str | None = setting(
        "Bring all pictures of a folder to this size: 64, or 64x48 for height x width; "
        "without it they must be of one size.",
        None,
    )
    fit: str = setting(
        "How pictures are brought to --image_size: cut at the longer side, with margins, or "
        "stretched.",
        "crop",
        choices=FITS,
    )
    channels: int = setting(
        "1 for grey, 3 for colours, 0 for what the pictures of a folder are.", 0, least=0, most=3
    )
    background: int = setting(
        "Grey level under transparent pictures and in margins, from 0 (black) to 255 (white).",
        0,
        least=0,
        most=255,
    )
    white_level: str | None = setting(
        "The level that is white, such as 4095 of cameras with 12 bits; auto: the largest one in "
        "the data. By default the largest of 8 or 16 bits; if pictures of 16 bits use 8, 10, 12 "
        "or 14 alone, the largest of these.",
        None,
    )
    pages: str = setting(
        "Of files with several pages or frames. first: the first one is an image; all: each is.",
        "first",
        choices=PAGES,
    )
    skip_bad: bool = setting("Leave out pictures of a folder that cannot be read.", False)

    def __post_init__(self):
        """Checks all settings; raises a UserError that names the first which cannot be."""
        check(self)
        if self.channels == 2:
            raise UserError("--channels=2: must be 1 (grey), 3 (colours), or 0 (as they are).")
        _ = self.height_and_width, self.number_of_white

    @classmethod
    def of(cls, values: dict[str, Any]) -> "ReadingSettings":
        """Picks these settings out of all of a run."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    def changed_fields(self) -> list[str]:
        """Names those that are not as usual."""
        fields = dataclasses.fields(ReadingSettings)
        return [field.name for field in fields if getattr(self, field.name) != field.default]

    @property
    def height_and_width(self) -> tuple[int, int] | None:
        """The size that `image_size` names, in pixels; None for that of the pictures."""
        if self.image_size is None:
            return None
        match = re.fullmatch(r"(\d{1,9})(?:[xX](\d{1,9}))?", self.image_size, re.ASCII)
        sides = [int(side) for side in match.groups(match[1])] if match else [0]
        least, most = SMALLEST_SIDE, LARGEST_SIDE
        if not least <= min(sides) <= max(sides) <= most:
            raise UserError(
                f"--image_size={self.image_size!r}: must be a side such as 64, or height x width "
                f"such as 64x48, each from {least} to {most} pixels."
            )
        return sides[0], sides[1]

    @property
    def number_of_white(self) -> float | None:
        """The level that `white_level` names; None if it names none, or leaves it to the data."""
        if self.white_level in (None, AUTO):
            return None
        with contextlib.suppress(ValueError):
            level = float(self.white_level)
            if math.isfinite(level) and level > 0:
                return level
        raise UserError(
            f"--white_level={self.white_level!r}: must be a number above 0, such as 4095, or auto."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Which images to work on, and what may be done to them."""

    data_path: str | None = setting(
        "Images to work on: an .npz or .npy, a picture, or a folder of pictures; "
        "without it, the test images of the model's own data set.",
        None,
        is_path=True,
    )
    invert: bool | None = setting("Exchange black and white in the images.", None)
