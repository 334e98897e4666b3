"""Images that stay on disk: rows of a flat file, read when they are asked for."""

import os
import threading
import weakref
from pathlib import Path

import numpy as np

from cvae_tf.core.errors import LostImagesError
from cvae_tf.data.stored_images import StoredImages

_MOST_AT_ONCE = 2**30  # bytes; some systems refuse to read 2 GiB in one call
_SEEKING = threading.Lock()  # for systems that cannot read at a place without going there


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
