"""What people are told while they wait, unless they asked for silence."""

import contextlib
import contextvars
import sys
from collections.abc import Iterator

_VERBOSE = contextvars.ContextVar("verbose", default=1)


@contextlib.contextmanager
def verbosity(verbose: int) -> Iterator[None]:
    """Sets how much is said within it, in this thread alone.

    Args:
        verbose: 0 for nothing at all, 1 for everything.
    """
    token = _VERBOSE.set(verbose)
    try:
        yield
    finally:
        _VERBOSE.reset(token)


def say(text: str = "", end: str = "\n") -> None:
    """Prints a text at once."""
    if _VERBOSE.get():
        print(text, end=end, flush=True)


def warn(text: str) -> bool:
    """Prints what is not as it should be, but does not stop the program.

    Returns:
        Whether it was printed.
    """
    if _VERBOSE.get():
        print(f"warning: {text}", file=sys.stderr, flush=True)
    return bool(_VERBOSE.get())


def is_on_terminal() -> bool:
    """Whether what is said goes to a terminal, where a line can be written again."""
    return bool(_VERBOSE.get()) and sys.stdout is not None and sys.stdout.isatty()
