"""The pixels of a folder of pictures: decoded once, into one file that is mapped into memory.

It is in the folder `cvae-tf` of the Keras cache (`KERAS_HOME`, else `~/.keras`), with a
folder for each folder of pictures and way to read it: `pixels.npy`, uint8 [M, H, W, C], and
`facts.json`. The program removes nothing there; you may, and it is made again when needed.
"""

import contextlib
import hashlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import keras_home, printable
from cvae_tf.core.tensorflow_setup import count_cores
from cvae_tf.core.terminal import progress, say
from cvae_tf.data.batches import aligned_empty
from cvae_tf.data.folder import Listing
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.pictures import (
    AUTO,
    LARGEST_OF_16_BITS,
    LARGEST_SIDE,
    BadPictureError,
    Form,
    Picture,
    ReadingSettings,
    count_pages,
    largest_level,
    read,
    without_warnings,
)

_FACTS, _PIXELS = "facts.json", "pixels.npy"
_LENGTH_OF_KEY = 32  # of the 64 digits of a fingerprint
_AT_ONCE = 16  # pictures that a thread takes
# The largest levels of cameras and scanners that use fewer than 16 bits.
_LARGEST_OF_FEW_BITS = (255, 1023, 4095, 16383)


class Facts(NamedTuple):
    """What is known about the pictures of a folder once they are decoded."""

    bad: list[list]  # for each that cannot be read its number, and the reason
    sha256: str  # of all pixels in order
    margins: float  # mean brightness of the outermost rows and columns, from 0 to 1
    white_level: float | None  # as the `Form` of the pixels had it
    deep_white_level: int | None  # the same; None if no grey picture has 16 bits
    num_pages_left_out: int
    num_small: int = 0  # pictures with fewer pixels than their image


class MappedImages:
    """Some images of a mapped file, as an array that is never in memory as a whole."""

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: np.ndarray, rows: np.ndarray):
        """Takes all images of the file, uint8 [M, H, W, C], and which these are, int [N]."""
        self._pixels, self._rows = pixels, rows
        self.shape = (len(rows), *pixels.shape[1:])

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self._rows)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Reads images, uint8 [B, H, W, C], by a slice or their numbers, int [B]."""
        rows = self._rows[index]
        image_shape = self.shape[1:]
        images = aligned_empty(rows.size * int(np.prod(image_shape)))
        images = images.reshape(*rows.shape, *image_shape)
        # Without `mode`, the result would be in memory twice; all rows exist.
        return np.take(self._pixels, rows, axis=0, out=images, mode="clip")


class Pictures(NamedTuple):
    """The pictures of a folder that can be read, as images of one size."""

    listing: Listing
    form: Form  # of the pixels
    facts: Facts
    pixels: np.ndarray  # uint8 [M, H, W, C], mapped from the cache

    @property
    def numbers(self) -> np.ndarray:
        """Which of the listed pictures can be read, int64 [M]."""
        bad = [number for number, _ in self.facts.bad]
        return np.setdiff1d(np.arange(len(self.listing.paths)), bad)

    def images(self, rows: np.ndarray, cache_mb: int) -> np.ndarray | MappedImages:
        """Takes images, uint8 [N, H, W, C], by their rows, int [N], each from 0 to M - 1.

        They are in memory if all M images have at most `cache_mb` megabytes, else mapped.
        """
        images = MappedImages(self.pixels, rows)
        return images[:] if self.pixels.nbytes <= cache_mb * 2**20 else images


def read_pictures(listing: Listing, reading: ReadingSettings) -> Pictures:
    """Decodes all pictures, unless they are in the cache.

    Returns:
        The pictures; those that cannot be read are in `facts.bad`.

    Raises:
        UserError: if they have several sizes or are too large, and the settings name no size; or if
            the disk has no room for the cache.
    """
    size, white_level = reading.height_and_width, reading.number_of_white
    form = Form(size, reading.fit, reading.channels, reading.background, white_level)
    entry = keras_home() / "cvae-tf" / listing.fingerprint(reading)[:_LENGTH_OF_KEY]
    kept = _find(entry)
    # Without --skip_bad there is no run with bad pictures; they may have been repaired since.
    if kept is None or (kept[0].bad and not reading.skip_bad):
        if reading.white_level == AUTO:
            form = form._replace(white_level=_largest_level(listing) or None)
        kept = _decode_to_cache(listing, form, entry)
    facts, pixels = kept
    form = form._replace(white_level=facts.white_level, deep_white_level=facts.deep_white_level)
    if len(pixels):
        form = form._replace(channels=pixels.shape[-1])
    return Pictures(listing, form, facts, pixels)


def list_pages(listing: Listing) -> tuple[Listing, np.ndarray]:
    """Lists each page of files with several pages as a picture of its own.

    Returns:
        The listing of M pages; and which of the N pictures each page belongs to, int64 [M].
    """

    def count(number: int) -> int:
        return count_pages(listing.full_path(number))

    chunks = _in_order(count, len(listing.paths), "counting pages")
    counts = np.array([pages for _, chunk in chunks for pages in chunk])
    numbers = np.repeat(np.arange(len(counts)), counts)
    of_pages = listing._replace(
        paths=[listing.paths[number] for number in numbers],
        facts=listing.facts[numbers],
        pages=np.concatenate([np.arange(pages) for pages in counts]),
    )
    return of_pages, numbers


def say_pages_left_out(count: int, why: str) -> None:
    """Says that pages or frames of files are left out, if there are any."""
    if count:
        say(
            f"images:  of files with several pages or frames the first one is used; {count:,} "
            f"more are left out ({why})"
        )


def _find(entry: Path) -> tuple[Facts, np.ndarray] | None:
    """Finds cached facts and pixels, uint8 [M, H, W, C]; None if missing or damaged."""
    try:
        facts = Facts(**files.read_json(entry / _FACTS))
        return facts, np.load(entry / _PIXELS, mmap_mode="r")
    except (UserError, TypeError, OSError, ValueError, EOFError):
        return None


def _decode_to_cache(listing: Listing, form: Form, entry: Path) -> tuple[Facts, np.ndarray]:
    """Decodes all pictures into a folder in the cache."""
    try:
        _decode(listing, form, entry)
    except UserError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        kept = _find(entry)
        if kept is None:  # else another process has made it meanwhile
            raise UserError(
                f"{error} Decoded pictures are kept there; KERAS_HOME names another place."
            ) from error
        return kept
    kept = _find(entry)
    if kept is None:
        raise UserError(f"{entry}: another process has just replaced it; start again.")
    return kept


def _decode(listing: Listing, form: Form, entry: Path) -> None:
    """Writes pixels and facts, with colours or another white level if pictures need it."""

    def decode(number: int) -> Picture | str:
        try:
            return read(listing.full_path(number), form, listing.page(number))
        except BadPictureError as error:
            return str(error)

    try:
        with files.replacing_directory(entry) as aside:
            writer = _Writer(listing, form, aside / _PIXELS)
            pictures = _in_order(decode, len(listing.paths), "reading pictures")
            with contextlib.closing(pictures), contextlib.closing(writer):
                for first, chunk in pictures:
                    writer.add(first, chunk)
            files.write_json(aside / _FACTS, writer.facts()._asdict())
    except _ColourFoundError:
        _decode(listing, form._replace(channels=3), entry)
    except _DeepFoundError:
        _decode(listing, form._replace(deep_white_level=_deep_white_level(listing)), entry)


class _ColourFoundError(Exception):
    """A picture in colour among those that were taken to be grey."""


class _DeepFoundError(Exception):
    """A grey picture of 16 bits, while it is unknown how many bits are used."""


class _Writer:
    """Takes the pictures in order, writes their pixels and collects facts about them."""

    def __init__(self, listing: Listing, form: Form, path: Path):
        self._listing, self._form, self._path = listing, form, path
        self._file = path.open("wb")
        self._count = self._pages_left_out = self._small = 0
        self._shape: tuple[int, ...] = ()  # of an image
        self._bad: list[list] = []

    def add(self, first: int, chunk: list[Picture | str]) -> None:
        """Takes the next pictures, or the reasons why they cannot be read."""
        good = []
        for number, picture in enumerate(chunk, first):
            if isinstance(picture, str):
                self._bad.append([number, picture])
            else:
                self._look_at(number, picture)
                good.append(picture.pixels)
        if good:
            self._count += len(good)
            self._file.write(np.stack(good))

    def _look_at(self, number: int, picture: Picture) -> None:
        if picture.is_deep and not (self._form.white_level or self._form.deep_white_level):
            raise _DeepFoundError
        shape, name = picture.pixels.shape, printable(self._listing.paths[number])
        if not self._shape:
            self._shape, self._first_name = (*shape[:2], self._form.channels or 1), name
            self._write_header()
        if shape[:2] != self._shape[:2] or max(shape[:2]) > LARGEST_SIDE:
            sizes = {self._first_name: self._shape, name: shape}
            named = [f"{name} has {height}x{width}" for name, (height, width, _) in sizes.items()]
            raise UserError(
                f"{printable(self._listing.root)}: {', '.join(named)} pixels (height x width); "
                f"images must be of one size, of at most {LARGEST_SIDE} a side. Give "
                "--image_size=64 or another size, with --fit=crop, pad or stretch."
            )
        if shape != self._shape:
            raise _ColourFoundError
        self._small += math.prod(picture.size) < math.prod(shape[:2])
        if self._listing.pages is None:
            self._pages_left_out += picture.num_pages - 1

    def _write_header(self) -> None:
        """Writes how many images the file holds, always in the same number of bytes."""
        self._file.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def close(self) -> None:
        """Completes the file."""
        self._write_header()
        self._file.close()

    def facts(self) -> Facts:
        """The facts about all pictures, once the file is complete."""
        pixels = np.load(self._path, mmap_mode="r")
        return Facts(
            bad=self._bad,
            sha256=hashlib.sha256(pixels).hexdigest(),
            margins=margin_brightness(pixels) if self._count else 0.0,
            white_level=self._form.white_level,
            deep_white_level=self._form.deep_white_level,
            num_pages_left_out=self._pages_left_out,
            num_small=self._small,
        )


def _largest_level(listing: Listing, only_deep: bool = False) -> float:
    """Finds the largest level in the files of all pictures, or of those of 16 bits."""

    def find(number: int) -> float:
        with contextlib.suppress(BadPictureError):
            level, is_deep = largest_level(listing.full_path(number), listing.page(number))
            return level if is_deep or not only_deep else 0.0
        return 0.0

    chunks = _in_order(find, len(listing.paths), "looking for the largest level")
    return max(max(chunk) for _, chunk in chunks)


def _deep_white_level(listing: Listing) -> int:
    """The largest level of the fewest usual bits that hold all pictures of 16 bits."""
    largest = _largest_level(listing, only_deep=True)
    fitting = (level for level in _LARGEST_OF_FEW_BITS if level >= largest > 0)
    return next(fitting, LARGEST_OF_16_BITS)


def _in_order(work: Callable[[int], Any], total: int, what: str) -> Iterator[tuple[int, list]]:
    """Works on pictures 0 to `total` - 1, several at a time, and shows the progress.

    Yields:
        Results, chunk by chunk in order, each with the number of its first picture. Only a few are
        computed in advance.
    """

    def work_on_chunk(first: int) -> list:
        return [work(number) for number in range(first, min(first + _AT_ONCE, total))]

    workers, done = count_cores(), 0
    with without_warnings(), progress(what) as show, ThreadPoolExecutor(workers) as pool:
        chunks = (pool.submit(work_on_chunk, first) for first in range(0, total, _AT_ONCE))
        waiting = deque(itertools.islice(chunks, 2 * workers))
        while waiting:
            chunk = waiting.popleft().result()
            waiting.extend(itertools.islice(chunks, 1))
            yield done, chunk
            done += len(chunk)
            show(done / total, f"{done:,} of {total:,}")
