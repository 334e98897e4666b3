"""How much memory is free."""

import os
from pathlib import Path

_IF_UNKNOWN = 2 * 2**30  # bytes, of a small machine


def free_bytes() -> int:
    """Bytes of memory that programs can still have."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line[:13] == "MemAvailable:")
    except (OSError, ValueError, StopIteration):  # only Linux has it
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return _IF_UNKNOWN
