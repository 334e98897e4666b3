"""Decodes all pictures of a folder once, several at a time, and finds out what they are."""

import contextlib
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.progress import progress
from cvae_tf.core.threads import count_cores
from cvae_tf.data.folder_listing import Listing
from cvae_tf.data.pictures import (
    BadPictureError,
    Form,
    read_picture,
    read_size,
    without_warnings,
)
from cvae_tf.reading import LARGEST_SIDE

_AT_ONCE = 16  # pictures that a thread takes
_PROBED = 32  # pictures that are looked at first, to learn what most are like


class Facts(NamedTuple):
    """What is known of the pictures of a folder once they have been decoded."""

    image_shape: tuple[int, ...]  # height, width and channels; () if no picture can be read
    count: int  # M, of the pictures that can be read
    bad: list[tuple[int, str]]  # numbers of those that cannot, and the reasons
    sha256: str  # of all pixels in their order
    margins: float  # mean brightness of the outermost rows and columns, from 0 to 1


class SizeNeededError(Exception):
    """Pictures are of several sizes or large, and it is not said which size to bring them to."""


class _ColourFoundError(Exception):
    """A picture in colour among those that were taken to be grey."""


def decode_all(
    listing: Listing, form: Form, open_store: Callable[[tuple[int, ...]], Callable | None]
) -> Facts:
    """Decodes all pictures in their order.

    Args:
        listing: the pictures.
        form: of their pixels; with `channels=0` all become grey if each is grey, else colours.
        open_store: called with the shape of an image before the first one, and again if the store
            must begin anew; returns what takes uint8 [B, H, W, C], or None to keep nothing.

    Returns:
        What was found.

    Raises:
        SizeNeededError: if they are of several sizes or too large, and `form` gives none.
    """
    if form.size is None and _seem_too_large(listing):
        raise SizeNeededError
    if form.channels == 0 and _seems_coloured(listing, form):
        form = form._replace(channels=3)
    try:
        return _decode_all(listing, form, open_store)
    except _ColourFoundError:
        return _decode_all(listing, form._replace(channels=3), open_store)


def count_sizes(listing: Listing) -> Counter:
    """Counts the heights and widths of all pictures that can be read, from their headers."""

    def read(number: int) -> tuple[int, int] | None:
        try:
            return read_size(listing.full_path(number))
        except BadPictureError:
            return None

    sizes = Counter()
    for _, chunk in _in_order(read, len(listing.paths), "reading sizes"):
        sizes.update(size for size in chunk if size)
    return sizes


def several_at_a_time(function: Callable, items: Iterable) -> Iterator[Any]:
    """Yields the results of a function in the order of its arguments, not many ahead of them."""
    workers = count_cores()
    waiting = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _seems_coloured(listing: Listing, form: Form) -> bool:
    """Whether there are colours in some pictures here and there."""
    with without_warnings():
        for number in _here_and_there(listing):
            with contextlib.suppress(BadPictureError):
                if read_picture(listing.full_path(number), form).shape[-1] == 3:
                    return True
    return False


def _seem_too_large(listing: Listing) -> bool:
    """Whether some pictures here and there are larger than an image may be."""
    with without_warnings():
        for number in _here_and_there(listing):
            with contextlib.suppress(BadPictureError):
                if max(read_size(listing.full_path(number))) > LARGEST_SIDE:
                    return True
    return False


def _here_and_there(listing: Listing) -> range:
    total = len(listing.paths)
    return range(0, total, max(1, total // _PROBED))


def _decode_all(listing: Listing, form: Form, open_store: Callable) -> Facts:
    def read(number: int) -> np.ndarray | str:
        try:
            return read_picture(listing.full_path(number), form)
        except BadPictureError as error:
            return str(error)

    found = _Found(form, open_store)
    with contextlib.closing(_in_order(read, len(listing.paths), "reading pictures")) as chunks:
        for first, chunk in chunks:
            found.add(first, chunk)
    return found.facts()


def _in_order(read: Callable, total: int, what: str) -> Iterator[tuple[int, list]]:
    """Yields what was read, chunk by chunk, each with the number of its first picture."""

    def read_chunk(first: int) -> tuple[int, list]:
        return first, [read(number) for number in range(first, min(first + _AT_ONCE, total))]

    results = several_at_a_time(read_chunk, range(0, total, _AT_ONCE))
    with without_warnings(), progress(what) as show, contextlib.closing(results):
        for first, chunk in results:
            yield first, chunk
            show((first + len(chunk)) / total, f"{first + len(chunk):,} of {total:,}")


class _Found:
    """What has been found so far."""

    def __init__(self, form: Form, open_store: Callable):
        self._channels = form.channels or 1
        self._open_store = open_store
        self._store: Callable | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._bad: list[tuple[int, str]] = []
        self._digest = hashlib.sha256()
        self._margins = np.zeros(4, np.int64)  # sums over the four sides

    def add(self, first: int, chunk: list[np.ndarray | str]) -> None:
        """Takes the pictures that follow, or the reasons why they cannot be read."""
        good = []
        for number, picture in enumerate(chunk, first):
            if isinstance(picture, str):
                self._bad.append((number, picture))
            else:
                self._check_shape(picture.shape)
                good.append(picture)
        if not good:
            return
        images = np.stack(good)
        self._count += len(images)
        self._digest.update(images)
        sides = images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]
        self._margins += [side.sum(dtype=np.int64) for side in sides]
        if self._store:
            self._store(images)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if not self._shape:
            self._shape = (*shape[:2], self._channels)
            self._store = self._open_store(self._shape)
        if shape[:2] != self._shape[:2]:
            raise SizeNeededError
        if shape != self._shape:
            raise _ColourFoundError

    def facts(self) -> Facts:
        """Says what was found."""
        margins = 0.0
        if self._count:
            height, width, channels = self._shape
            values = self._count * channels * np.array([width, width, height, height])
            margins = float(np.mean(self._margins / values)) / 255
        return Facts(self._shape, self._count, self._bad, self._digest.hexdigest(), margins)
