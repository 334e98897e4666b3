"""Many images some at a time, so that memory stays small however large they are."""

from collections.abc import Iterator, Sequence

_PIXELS = 2**18  # of the images in one part: 256 of 32 x 32, which is enough for full speed


def slices(num: int, image_shape: Sequence[int]) -> Iterator[slice]:
    """Cuts a number of images into parts.

    Args:
        num: of images, N.
        image_shape: height, width, and what else there may be.

    Yields:
        The parts in their order; together they are `slice(0, num)`.
    """
    at_once = max(_PIXELS // (image_shape[0] * image_shape[1]), 1)
    for start in range(0, num, at_once):
        yield slice(start, min(start + at_once, num))
