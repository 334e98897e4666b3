"""What people are told while they wait, unless they asked for silence."""

import contextlib
import contextvars
import sys
from collections.abc import Iterator
from typing import TextIO

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
        show(f"{text}{end}", sys.stdout)


def warn(text: str) -> bool:
    """Prints what is not as it should be, but does not stop the program.

    Returns:
        Whether people want to see it.
    """
    if _VERBOSE.get():
        show(f"warning: {text}\n", sys.stderr)
    return bool(_VERBOSE.get())


def show(text: str, stream: TextIO | None) -> None:
    """Writes a text at once, as far as that is possible: no message is worth a run.

    Letters that a stream does not have are written as codes. What cannot be written is left out:
    the disk may be full, the reader of a pipe gone, the stream closed.

    Args:
        text: with the end of its line.
        stream: such as `sys.stdout`, which is None if there is no output at all.
    """
    if stream is None:
        return
    with contextlib.suppress(Exception):  # a notebook's stream fails in ways of its own
        try:
            print(text, end="", file=stream, flush=True)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            known = text.encode(encoding, "backslashreplace").decode(encoding)
            print(known, end="", file=stream, flush=True)


def is_on_terminal() -> bool:
    """Whether what is said goes to a terminal, where a line can be written again."""
    with contextlib.suppress(Exception):  # as where there is no output, or it is closed
        return bool(_VERBOSE.get()) and sys.stdout.isatty()
    return False
