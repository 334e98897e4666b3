"""Which images a model in use works on: the settings that `generate.py` and `evaluate.py` share."""

import dataclasses

from cvae_tf.core.settings import setting


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
