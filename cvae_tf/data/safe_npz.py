"""Reading .npz files from strangers: no pickles, no absurd sizes, one clear line if damaged."""

import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError

# Deflate cannot shrink anything by more than this factor, so a member that claims more lies.
_LARGEST_COMPRESSION = 1032
ALIGNMENT = 64  # bytes
_PIECE = 2**20  # bytes read at once, so that a large array is in memory only once


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
    try:
        if not path.is_file():
            raise UserError(f"{path}: no such file.")
        with zipfile.ZipFile(path) as archive:
            members = {f"{name}.npy": name for name in names}
            return {
                members[info.filename]: _read_member(archive, info, path)
                for info in archive.infolist()
                if info.filename in members
            }
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: not an .npz file, or a truncated one ({error}).") from error
    except (OSError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read, the file is damaged ({error}).") from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """Reads one array after comparing the size that its header claims with the file's."""
    where = f"{path}: {info.filename.removesuffix('.npy')}"
    with archive.open(info) as member:
        try:
            shape, fortran_order, dtype = _read_header(member)
        except Exception as error:  # NumPy trips over nonsense in many ways
            raise UserError(f"{where} has no valid array header ({error}).") from error
        if min(shape, default=0) < 0:
            raise UserError(f"{where} claims the shape {shape}.")
        if dtype.hasobject:
            raise UserError(f"{where} holds pickled Python objects, which are never loaded.")
        if dtype.itemsize == 0 or any(type(length) is not int for length in shape):
            raise UserError(f"{where} claims the type {dtype} and the shape {shape}.")
        size = dtype.itemsize * math.prod(shape)
        possible = min(info.file_size, info.compress_size * _LARGEST_COMPRESSION)
        if size > possible:
            raise UserError(f"{where} claims {size} bytes, but the file holds {possible} at most.")
        if size > _physical_memory():
            raise UserError(f"{where} has {size} bytes, more than the memory of this machine.")
        data = aligned_empty(size)
        read = 0
        while read < size and (count := member.readinto(data[read : read + _PIECE])):
            read += count
    if read < size:
        raise UserError(f"{where} is truncated: {read} of {size} bytes.")
    try:
        return data.view(dtype).reshape(shape, order="F" if fortran_order else "C")
    except ValueError as error:
        raise UserError(f"{where} claims the shape {shape}.") from error


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


def _read_header(member) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
