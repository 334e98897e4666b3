"""Decodes all pictures of a folder once, several at a time, and finds out what they are."""

import contextlib
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.tensorflow_setup import count_cores
from cvae_tf.core.terminal import progress, say
from cvae_tf.data.folder_listing import Listing
from cvae_tf.data.inspection import mean_of_margins, sums_of_margins
from cvae_tf.data.pictures import (
    BadPictureError,
    Form,
    Picture,
    count_pages,
    largest_level,
    read,
    read_size,
    without_warnings,
)
from cvae_tf.data.settings import LARGEST_SIDE

_AT_ONCE = 16  # pictures that a thread takes
_ONE_LEVEL = 16  # the largest difference of levels that nobody sees
_PROBED = 32  # pictures that are looked at first, to learn what most are like
# The largest levels of the bits that cameras and scanners use of 16.
_LARGEST_OF_FEW_BITS = (255, 1023, 4095, 16383)
LARGEST_OF_16_BITS = 65535


class Facts(NamedTuple):
    """What is known of the pictures of a folder once they have been decoded."""

    image_shape: tuple[int, ...]  # height, width and channels; () if no picture can be read
    count: int  # M, of the pictures that can be read
    bad: list[tuple[int, str]]  # numbers of those that cannot, and the reasons
    sha256: str  # of all pixels in their order
    margins: float  # mean brightness of the outermost rows and columns, from 0 to 1
    white_level: float | None = None  # as the `Form` of the pixels had it
    deep_white_level: int | None = None  # the same; None if no picture has 16 bits
    num_vanished: int = 0  # transparent pictures that are of one level, or nearly so
    num_pages_left_out: int = 0


class SizeNeededError(Exception):
    """Pictures are of several sizes or large, and it is not said which size to bring them to."""


class _ColourFoundError(Exception):
    """A picture in colour among those that were taken to be grey."""


class _DeepFoundError(Exception):
    """A picture of 16 bits or of floats, before it is known how many bits are used."""


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
    while True:
        try:
            return _decode_all(listing, form, open_store)
        except _ColourFoundError:
            form = form._replace(channels=3)
        except _DeepFoundError:
            form = form._replace(deep_white_level=_deep_white_level(listing))


def find_largest_level(listing: Listing, only_deep: bool = False) -> float:
    """Finds the largest level in all pictures, as their files have it; 0 if there is none.

    Args:
        listing: the pictures.
        only_deep: whether to look at those of 16 bits alone; floats have none.
    """

    def find(number: int) -> float:
        try:
            level, is_deep = largest_level(listing.full_path(number), listing.page(number))
        except BadPictureError:
            return 0.0
        return level if is_deep or not only_deep else 0.0

    chunks = _in_order(find, len(listing.paths), "looking for the largest level")
    return max(max(chunk) for _, chunk in chunks)


def _deep_white_level(listing: Listing) -> int:
    """Takes the fewest usual bits that hold all levels of the pictures of 16 bits."""
    largest = find_largest_level(listing, only_deep=True)
    fitting = (level for level in _LARGEST_OF_FEW_BITS if level >= largest > 0)
    return next(fitting, LARGEST_OF_16_BITS)


def list_pages(listing: Listing) -> tuple[Listing, np.ndarray]:
    """Lists each page of files that have several as a picture of its own.

    Returns:
        The listing of M pages; and of which of the N pictures each was a page, int64 [M].
    """

    def count(number: int) -> int:
        return count_pages(listing.full_path(number))

    chunks = list(_in_order(count, len(listing.paths), "counting pages"))
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
            f"images:  of files with several pages or frames the first one is taken; {count:,} "
            f"more are left out ({why})"
        )


def count_sizes(listing: Listing) -> Counter:
    """Counts the heights and widths of all pictures that can be read, from their headers."""

    def read(number: int) -> tuple[int, int] | None:
        try:
            return read_size(listing.full_path(number), listing.page(number))
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
                path, page = listing.full_path(number), listing.page(number)
                if read(path, form, page).pixels.shape[-1] == 3:
                    return True
    return False


def _seem_too_large(listing: Listing) -> bool:
    """Whether some pictures here and there are larger than an image may be."""
    with without_warnings():
        for number in _here_and_there(listing):
            with contextlib.suppress(BadPictureError):
                if max(read_size(listing.full_path(number), listing.page(number))) > LARGEST_SIDE:
                    return True
    return False


def _here_and_there(listing: Listing) -> range:
    total = len(listing.paths)
    return range(0, total, max(1, total // _PROBED))


def _decode_all(listing: Listing, form: Form, open_store: Callable) -> Facts:
    def decode(number: int) -> Picture | str:
        try:
            return read(listing.full_path(number), form, listing.page(number))
        except BadPictureError as error:
            return str(error)

    found = _Found(form, open_store, listing.pages is None)
    with contextlib.closing(_in_order(decode, len(listing.paths), "reading pictures")) as chunks:
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

    def __init__(self, form: Form, open_store: Callable, leaves_out_pages: bool):
        self._form = form
        self._channels = form.channels or 1
        self._open_store = open_store
        self._leaves_out_pages = leaves_out_pages
        self._vanished = self._pages_left_out = 0
        self._store: Callable | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._bad: list[tuple[int, str]] = []
        self._digest = hashlib.sha256()
        self._margins = np.zeros(4, np.int64)  # sums over the four sides

    def add(self, first: int, chunk: list[Picture | str]) -> None:
        """Takes the pictures that follow, or the reasons why they cannot be read."""
        good = []
        for number, picture in enumerate(chunk, first):
            if isinstance(picture, str):
                self._bad.append((number, picture))
            else:
                self._look_at(picture)
                good.append(picture.pixels)
        if not good:
            return
        images = np.stack(good)
        self._count += len(images)
        self._digest.update(images)
        self._margins += sums_of_margins(images)
        if self._store:
            self._store(images)

    def _look_at(self, picture: Picture) -> None:
        if picture.is_deep and not (self._form.white_level or self._form.deep_white_level):
            raise _DeepFoundError
        self._check_shape(picture.pixels.shape)
        self._vanished += picture.is_transparent and np.ptp(picture.pixels) <= _ONE_LEVEL
        self._pages_left_out += (picture.num_pages - 1) * self._leaves_out_pages

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
        shape = (self._count, *self._shape)
        margins = mean_of_margins(self._margins, shape) if self._count else 0.0
        return Facts(
            *(self._shape, self._count, self._bad, self._digest.hexdigest(), margins),
            *(self._form.white_level, self._form.deep_white_level),
            *(int(self._vanished), self._pages_left_out),
        )
