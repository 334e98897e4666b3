"""Arrays of images from a file of the user's: an .npz or .npy; of any other, what to do with it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data import file_kinds, safe_npz
from cvae_tf.data.safe_npz import Header

_MOST_LISTED = 5  # arrays


def read_arrays(path: Path, names: Sequence[str], images: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads arrays by name, of which one at least has images.

    Args:
        path: an .npz, or an .npy, whose one array is then called by the last of `images`. What it
            is, its content says.
        names: of the arrays that are looked at.
        images: those of them that may be the images, any of which will do.

    Returns:
        The arrays that are there, by name.

    Raises:
        UserError: if it is another kind of file, holds none of `images`, or is damaged.
    """
    if file_kinds.kind_of(path) == file_kinds.NPY:
        return {images[-1]: safe_npz.read_npy(path)}
    arrays = safe_npz.read_npz(path, tuple(names))
    if not set(images) & set(arrays):
        raise UserError(_without_images(path, images))
    return arrays


def _without_images(path: Path, images: Sequence[str]) -> str:
    """Says which arrays an .npz holds, and how to call them."""
    headers = safe_npz.read_headers(path)
    listed = [f"{name} {header.dtype}{list(header.shape)}" for name, header in headers.items()]
    wanted = " or ".join(filter(None, (", ".join(images[:-1]), images[-1])))
    more = f" and {len(listed) - _MOST_LISTED} more" if listed[_MOST_LISTED:] else ""
    given = ", ".join(
        f"{role}=data[{name!r}]" for role, name in _roles(headers).items() if name is not None
    )
    return (
        f"{path}: holds no array {wanted}; it holds "
        f"{', '.join(listed[:_MOST_LISTED])}{more}. Call the images x_train, as by data = "
        f"numpy.load({path.name!r}); numpy.savez('images.npz', {given or 'x_train=...'})."
    )


def _roles(headers: dict[str, Header]) -> dict[str, str | None]:
    """Which arrays look like images and like their labels."""
    images = next((name for name, each in headers.items() if len(each.shape) in (3, 4)), None)
    count = headers[images].shape[:1] if images else None
    labels = next((name for name, each in headers.items() if each.shape == count), None)
    return {"x_train": images, "y_train": labels}
