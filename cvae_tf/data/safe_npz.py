"""Reading .npz and .npy files of strangers: no pickles, no absurd sizes, one line if damaged."""

import contextlib
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError

# Deflate cannot shrink anything by more than this factor, so a member that claims more lies.
_LARGEST_COMPRESSION = 1032
ALIGNMENT = 64  # bytes
_PIECE = 2**20  # bytes read at once, so that a large array is in memory only once


class Header(NamedTuple):
    """What an array says of itself before its values."""

    shape: tuple[int, ...]
    is_by_columns: bool
    dtype: np.dtype


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Reads those of the named arrays that an .npz file holds.

    Args:
        path: the file.
        names: names of arrays; others in the file are not looked at.

    Returns:
        The arrays that are there, by name.

    Raises:
        UserError: if the file is missing, no .npz, damaged, or holds Python objects.
    """
    with _archive(path) as archive:
        members = {f"{name}.npy": name for name in names}
        return {
            members[info.filename]: _read_member(archive, info, path)
            for info in archive.infolist()
            if info.filename in members
        }


def read_headers(path: Path) -> dict[str, Header]:
    """Reads what all arrays of an .npz say of themselves, by name; those that can be read.

    Raises:
        UserError: as `read_npz` does.
    """
    headers = {}
    with _archive(path) as archive:
        for info in archive.infolist():
            name, point, suffix = info.filename.rpartition(".")
            with contextlib.suppress(UserError):
                if point + suffix == ".npy":
                    with archive.open(info) as member:
                        headers[name] = _read_header(member, str(path))
    return headers


def read_npy(path: Path) -> np.ndarray:
    """Reads the array of an .npy file.

    Raises:
        UserError: if the file is missing, damaged, or holds Python objects.
    """
    with _explaining(path), path.open("rb") as file:
        return _read_array(file, path.stat().st_size, str(path))


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with _explaining(path), zipfile.ZipFile(path) as archive:
        yield archive


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Makes what goes wrong with a file an error for people."""
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        yield
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: not an .npz file, or a truncated one ({error}).") from error
    except (OSError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read, the file is damaged ({error}).") from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """Reads one array of an .npz."""
    where = f"{path}: {info.filename.removesuffix('.npy')}"
    possible = min(info.file_size, info.compress_size * _LARGEST_COMPRESSION)
    with archive.open(info) as member:
        return _read_array(member, possible, where)


def _read_array(file: BinaryIO, possible: int, where: str) -> np.ndarray:
    """Reads an array after comparing the size that its header claims with the file's.

    Args:
        file: at the start of its header.
        possible: the most bytes that may follow.
        where: names it in an error.

    Raises:
        UserError: if it is damaged, too large, or holds Python objects.
    """
    header = _read_header(file, where)
    shape, dtype = header.shape, header.dtype
    if min(shape, default=0) < 0:
        raise UserError(f"{where} claims the shape {shape}.")
    if dtype.hasobject:
        raise UserError(f"{where} holds pickled Python objects, which are never loaded.")
    if dtype.itemsize == 0 or any(type(length) is not int for length in shape):
        raise UserError(f"{where} claims the type {dtype} and the shape {shape}.")
    size = dtype.itemsize * math.prod(shape)
    if size > possible:
        raise UserError(f"{where} claims {size} bytes, but the file holds {possible} at most.")
    if size > _physical_memory():
        raise UserError(f"{where} has {size} bytes, more than the memory of this machine.")
    data = _read_bytes(file, size, where)
    try:
        return data.view(dtype).reshape(shape, order="F" if header.is_by_columns else "C")
    except ValueError as error:
        raise UserError(f"{where} claims the shape {shape}.") from error


def _read_bytes(file: BinaryIO, size: int, where: str) -> np.ndarray:
    data, read = aligned_empty(size), 0
    while read < size and (count := file.readinto(data[read : read + _PIECE])):
        read += count
    if read < size:
        raise UserError(f"{where} is truncated: {read} of {size} bytes.")
    return data


def aligned_empty(size: int) -> np.ndarray:
    """Allocates bytes where TensorFlow can use them without a copy.

    Args:
        size: number of bytes.

    Returns:
        uint8 [size], uninitialised, its address a multiple of `ALIGNMENT`.
    """
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _physical_memory() -> float:
    """Bytes of memory that the machine has, or infinity where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return math.inf


def _read_header(file: BinaryIO, where: str) -> Header:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return Header(*np.lib.format.read_array_header_1_0(file))
        return Header(*np.lib.format.read_array_header_2_0(file))
    except Exception as error:  # NumPy trips over nonsense in many ways
        raise UserError(f"{where} has no valid array header ({error}).") from error
