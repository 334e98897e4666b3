"""Keeps the pixels of a folder of pictures, so that they are decoded only once.

They are in the folder `cvae-tf` of the Keras cache (`KERAS_HOME`, else `~/.keras`), in a folder for
each folder of pictures and way to read it: `facts.json`, and `pixels.bin` with uint8 [M, H, W, C].
Nothing there is ever removed; you may remove it, and it is made again when it is needed.

From there they are read when they are asked for, by what looks like an array; where there is no
room for the file, the pictures are decoded each time.
"""

import contextlib
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core import files
from cvae_tf.core.errors import LostImagesError, UserError
from cvae_tf.core.paths import keras_home, printable
from cvae_tf.core.tensorflow_setup import count_cores
from cvae_tf.core.terminal import warn
from cvae_tf.data.batches import aligned_empty
from cvae_tf.data.decoding import (
    Facts,
    SizeNeededError,
    count_sizes,
    decode_all,
    find_largest_level,
)
from cvae_tf.data.folder_listing import Listing
from cvae_tf.data.pictures import BadPictureError, Form, read_picture, without_warnings
from cvae_tf.data.settings import AUTO, ReadingSettings

_FACTS, _PIXELS = "facts.json", "pixels.bin"
_LENGTH_OF_KEY = 32  # of the 64 digits of a fingerprint
_MOST_SIZES = 5  # named in a message
_MOST_TRIED = 100  # of pictures that could not be read
MEGABYTE = 2**20
_MOST_AT_ONCE = 2**30  # bytes; some systems refuse to read 2 GiB in one call
_SEEKING = threading.Lock()  # for systems that cannot read at a place without going there


class StoredImages:
    """Images that are never in memory as a whole; a subclass reads some of them."""

    dtype = np.dtype(np.uint8)

    def __init__(self, rows: np.ndarray, image_shape: tuple[int, int, int]):
        """Keeps which images these are.

        Args:
            rows: int [N], their numbers where they are stored.
            image_shape: height, width and channels of each.
        """
        self._rows = rows
        self.shape = (len(rows), *image_shape)

    def __len__(self) -> int:
        """N, the number of images."""
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Reads images.

        Args:
            index: a slice, or int [B], the numbers of images.

        Returns:
            uint8 [B, H, W, C].

        Raises:
            LostImagesError: if they cannot be read any more.
        """
        rows = self._rows[index]
        image_shape = self.shape[1:]
        images = aligned_empty(rows.size * int(np.prod(image_shape)))
        images = images.reshape(*rows.shape, *image_shape)
        self._fill(images.reshape(rows.size, *image_shape), rows.reshape(-1))
        return images

    def _fill(self, places: np.ndarray, rows: np.ndarray) -> None:
        """Reads the images of rows, int [B], into their places, uint8 [B, H, W, C]."""
        raise NotImplementedError


class DiskImages(StoredImages):
    """Images in a flat file of uint8, as an array that is never in memory as a whole.

    Several threads may read at once. Nothing is mapped into memory, so that what was read does not
    count as memory of the process.
    """

    def __init__(
        self, path: str | Path, shape: tuple[int, int, int, int], rows: np.ndarray | None = None
    ):
        """Opens the file.

        Args:
            path: of the file: uint8 [M, H, W, C] and nothing else.
            shape: its M, H, W and C.
            rows: int [N], which of its images these are; None for all, in their order.

        Raises:
            LostImagesError: if there is no such file, or it is too short.
        """
        self._path = path
        rows = np.arange(shape[0]) if rows is None else np.asarray(rows, np.int64)
        super().__init__(rows, shape[1:])
        self._bytes = int(np.prod(shape[1:]))  # of an image
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise LostImagesError(f"{path}: cannot be read ({error.strerror}).") from error
        weakref.finalize(self, os.close, self._file)
        if os.fstat(self._file).st_size < shape[0] * self._bytes:
            raise self._too_short()

    def _fill(self, places: np.ndarray, rows: np.ndarray) -> None:
        order = np.argsort(rows, kind="stable")  # from the front to the back of the file
        rows = rows[order]
        # What stands side by side in the file and in the result is read at once.
        is_start = (np.diff(rows, prepend=-2) != 1) | (np.diff(order, prepend=-2) != 1)
        starts = np.flatnonzero(is_start)
        ends = np.append(starts, len(rows))[1:]
        for start, end in zip(starts, ends, strict=True):
            first = order[start]
            self._read(places[first : first + end - start], int(rows[start]) * self._bytes)

    def _read(self, target: np.ndarray, offset: int) -> None:
        """Fills a contiguous array with what stands at an offset of the file."""
        view = memoryview(target.reshape(-1))
        while view:
            try:
                count = _read_at(self._file, view, offset)
            except OSError as error:
                raise LostImagesError(
                    f"{self._path}: cannot be read ({error.strerror})."
                ) from error
            if count == 0:
                raise self._too_short()
            view, offset = view[count:], offset + count

    def _too_short(self) -> LostImagesError:
        return LostImagesError(
            f"{self._path}: the file is shorter than it was; remove it, start again."
        )


def _read_at(file: int, view: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(file, [view[:_MOST_AT_ONCE]], offset)
    with _SEEKING:
        os.lseek(file, offset, os.SEEK_SET)
        data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


class PictureImages(StoredImages):
    """Images in picture files, as an array that is never in memory as a whole.

    It gives what `DiskImages` gives, where there is no room for a flat file.
    """

    def __init__(
        self, listing: Listing, numbers: np.ndarray, form: Form, image_shape: tuple[int, int, int]
    ):
        """Keeps which pictures these are.

        Args:
            listing: the pictures of a folder.
            numbers: int [N], which of them these are.
            form: of their pixels.
            image_shape: height, width and channels of each image.
        """
        super().__init__(numbers, image_shape)
        self._listing, self._form = listing, form

    def _fill(self, places: np.ndarray, rows: np.ndarray) -> None:
        """Decodes pictures, several at a time."""
        workers = count_cores()

        def read_some(worker: int) -> None:
            for place in range(worker, len(places), workers):
                places[place] = self._read(int(rows[place]))

        if len(places) < workers:
            workers = 1
            read_some(0)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read_some, range(workers)))

    def _read(self, number: int) -> np.ndarray:
        path = self._listing.full_path(number)
        try:
            picture = read_picture(path, self._form, self._listing.page(number))
        except BadPictureError as error:
            raise LostImagesError(
                f"{printable(path)}: cannot be read any more ({error})."
            ) from error
        if picture.shape != self.shape[1:] or self._listing.has_changed(number):
            raise LostImagesError(
                f"{printable(path)}: the picture has become another one; start again."
            )
        return picture


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
    home = keras_home()
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
