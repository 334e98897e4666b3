"""Keeps the pixels of a folder of pictures, so that they are decoded only once.

They are in the folder `cvae-tf` of the Keras cache (`KERAS_HOME`, else `~/.keras`), in a folder for
each folder of pictures and way to read it: `facts.json`, and `pixels.bin` with uint8 [M, H, W, C].
Nothing there is ever removed; you may remove it, and it is made again when it is needed.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import warn
from cvae_tf.data.decoding import (
    Facts,
    SizeNeededError,
    count_sizes,
    decode_all,
    find_largest_level,
)
from cvae_tf.data.disk_images import DiskImages
from cvae_tf.data.folder_listing import Listing, printable
from cvae_tf.data.picture_images import PictureImages
from cvae_tf.data.pictures import BadPictureError, Form, read_picture, without_warnings
from cvae_tf.data.settings import AUTO, ReadingSettings

_FACTS, _PIXELS = "facts.json", "pixels.bin"
_LENGTH_OF_KEY = 32  # of the 64 digits of a fingerprint
_MOST_SIZES = 5  # named in a message
_MOST_TRIED = 100  # of pictures that could not be read
MEGABYTE = 2**20


class Pictures(NamedTuple):
    """The pictures of a folder that can be read, as images of one size."""

    listing: Listing
    form: Form  # of the pixels
    facts: Facts
    pixels: Path | None  # the file that keeps them; None if they are decoded each time

    @property
    def numbers(self) -> np.ndarray:
        """Which of the listed pictures can be read, int64 [M]."""
        is_good = np.ones(len(self.listing.paths), bool)
        is_good[[number for number, _ in self.facts.bad]] = False
        return np.flatnonzero(is_good)

    def images(self, rows: np.ndarray) -> DiskImages | PictureImages:
        """The images of some rows, int [N], each from 0 to M - 1."""
        shape = self.facts.image_shape
        if self.pixels:
            return DiskImages(self.pixels, (self.facts.count, *shape), rows)
        return PictureImages(self.listing, self.numbers[rows], self.form, shape)


def read_pictures(listing: Listing, reading: ReadingSettings, disk_mb: int | None) -> Pictures:
    """Decodes all pictures, unless that was done before.

    Args:
        listing: the pictures.
        reading: how they become images.
        disk_mb: the most megabytes to keep on disk; None for half of what is free there. What is
            there already is used in any case.

    Returns:
        The pictures; those that cannot be read are in `facts.bad`.

    Raises:
        UserError: if they are of several sizes or too large, and the settings give none.
    """
    form = form_of(reading)
    home = paths.keras_home()
    entry = home / "cvae-tf" / listing.fingerprint(reading)[:_LENGTH_OF_KEY]
    room = _free_bytes(home) // 2 if disk_mb is None else disk_mb * MEGABYTE
    facts = _find(entry, len(listing.paths), room)
    if facts is None or _some_is_mended(listing, form, facts):
        if reading.white_level == AUTO:
            form = form._replace(white_level=find_largest_level(listing) or None)
        facts = _decode(listing, form, entry, room)
    white_levels = {name: getattr(facts, name) for name in ("white_level", "deep_white_level")}
    form = form._replace(channels=facts.image_shape[-1] if facts.count else 0, **white_levels)
    pixels = entry / _PIXELS
    return Pictures(listing, form, facts, pixels if _size(pixels) == _needed(facts) else None)


def form_of(reading: ReadingSettings) -> Form:
    """The form of pixels that settings ask for, before the pictures are known."""
    size, white_level = reading.height_and_width, reading.number_of_white
    return Form(size, reading.fit, reading.channels, reading.background, white_level)


def _decode(listing: Listing, form: Form, entry: Path, room: int) -> Facts:
    try:
        try:
            return _decode_to(listing, form, entry, room)
        except UserError as error:
            facts = _find(entry, len(listing.paths), room)  # another process may have made it
            if facts is None:
                warn(f"{error} The pictures are decoded each time.")
                facts = decode_all(listing, form, lambda shape: None)
            return facts
    except SizeNeededError as error:
        raise _refuse_sizes(listing) from error


def _decode_to(listing: Listing, form: Form, entry: Path, room: int) -> Facts:
    """Decodes all pictures and keeps what was found, with the pixels if there is room."""
    with files.replacing_directory(entry) as aside, (aside / _PIXELS).open("wb") as file:

        def open_store(shape: tuple[int, ...]) -> Callable | None:
            file.seek(0)
            file.truncate()
            fits = len(listing.paths) * int(np.prod(shape)) <= room
            return file.write if fits else None

        facts = decode_all(listing, form, open_store)
        files.write_json(aside / _FACTS, facts._asdict())
    return facts


def _find(entry: Path, total: int, room: int) -> Facts | None:
    """Finds what is known of pictures from before; None if nothing is, or it is damaged.

    Also None if there was no room for the pixels then, and there is now.
    """
    try:
        facts = _checked(files.read_json(entry / _FACTS), total)
    except (UserError, TypeError, ValueError, KeyError):
        return None
    size = _size(entry / _PIXELS)
    has_no_room = total * int(np.prod(facts.image_shape)) > room  # as when they were decoded
    return facts if size == _needed(facts) or (size == 0 and has_no_room) else None


def _some_is_mended(listing: Listing, form: Form, facts: Facts) -> bool:
    """Whether a picture can be read that could not; a disk in a network may fail for a while."""
    with without_warnings():
        for number, _ in facts.bad[:_MOST_TRIED]:
            with contextlib.suppress(BadPictureError):
                read_picture(listing.full_path(number), form, listing.page(number))
                return True
    return False


def _checked(values: dict[str, Any], total: int) -> Facts:
    """Makes facts of what a file says; raises a ValueError or the like if that cannot be."""
    facts = Facts(
        tuple(int(side) for side in values["image_shape"]),
        int(values["count"]),
        [(int(number), str(reason)) for number, reason in values["bad"]],
        str(values["sha256"]),
        float(values["margins"]),
        *(values[name] for name in Facts._fields[5:]),
    )
    numbers = {number for number, _ in facts.bad}
    is_right = (
        facts.count + len(numbers) == total
        and len(facts.bad) == len(numbers)
        and all(0 <= number < total for number in numbers)
        and (len(facts.image_shape) == 3) == (facts.count > 0)
        and all(side > 0 for side in facts.image_shape)
        and len(facts.sha256) == 64
    )
    if not is_right:
        raise ValueError
    return facts


def _needed(facts: Facts) -> int:
    """The bytes of the pixels of all pictures that can be read."""
    return facts.count * int(np.prod(facts.image_shape)) if facts.count else 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _free_bytes(path: Path) -> int:
    """Free space where a folder is, or will be."""
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110
        path = path.parent
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0


def _refuse_sizes(listing: Listing) -> UserError:
    sizes = count_sizes(listing).most_common()
    named = [f"{height}x{width} ({count:,})" for (height, width), count in sizes[:_MOST_SIZES]]
    others = f" and {len(sizes) - _MOST_SIZES:,} more" if sizes[_MOST_SIZES:] else ""
    what = "several sizes" if len(sizes) > 1 else "a size too large to learn"
    return UserError(
        f"{printable(listing.root)}: pictures of {what}, height x width: "
        f"{', '.join(named)}{others}. Give --image_size=64 or another size, with "
        "--fit=crop, pad or stretch."
    )
