"""How much memory is free."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_IF_UNKNOWN = 2 * 2**30  # bytes, of a small machine


_OF_CONTAINER = (  # the limit of a container and what it has taken, by version of cgroups
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def free_bytes() -> int:
    """Bytes of memory that programs can still have, also in a container."""
    return min([_free_of_machine(), *_free_of_container()])


def _free_of_container() -> Iterator[int]:
    for limit, taken in _OF_CONTAINER:
        with contextlib.suppress(OSError, ValueError):  # such as the limit "max"
            most, now = (int(Path(path).read_text(encoding="ascii")) for path in (limit, taken))
            yield max(most - now, 0)


def _free_of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line[:13] == "MemAvailable:")
    except (OSError, ValueError, StopIteration):  # only Linux has it
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return _IF_UNKNOWN
