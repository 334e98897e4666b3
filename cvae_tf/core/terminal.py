"""What people are told while they wait, unless they asked for silence; how far something has come.

On a terminal that is a line which is written again, in a log now and then another one.
"""

import contextlib
import contextvars
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_VERBOSE = contextvars.ContextVar("verbose", default=1)
_FRAME = 0.1  # seconds between two views on a terminal
_PAUSE = 30.0  # seconds between two lines of a log, at least


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


class Progress:
    """Shows which share of something is done; nothing in a log if it takes only seconds."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic):
        """Begins.

        Args:
            what: is being done.
            clock: seconds.
        """
        self._what, self._clock = what, clock
        self._began = self._shown = clock()
        self._first: float | None = None
        self._width = 0  # of what stands on the terminal

    def show(self, share: float, note: str = "") -> None:
        """Shows the share that is done, from 0 to 1, if it is time to.

        Args:
            share: of the whole.
            note: what else is known, such as a mean so far.
        """
        now = self._clock()
        if self._first is None:
            self._first = share
        text = f"{self._what}: {share:4.0%}{self._time_left(share, now)}{note and f'  {note}'}"
        if is_on_terminal():
            if not self._width or share == 1 or now - self._shown >= _FRAME:
                self._write(text)
                self._shown = now
        # A log of ten hours needs no line each half a minute.
        elif now - self._shown >= max(_PAUSE, (now - self._began) / 10):
            say(text)
            self._shown = now

    def clear(self) -> None:
        """Leaves an empty line on a terminal."""
        if self._width:
            say("\r" + " " * self._width, end="\r")
            self._width = 0

    def _write(self, text: str) -> None:
        text = text.ljust(self._width)
        say("\r" + text, end="")
        self._width = len(text)

    def _time_left(self, share: float, now: float) -> str:
        done = share - self._first
        if done <= 0 or share >= 1:
            return ""
        return f", {(now - self._began) * (1 - share) / done:,.0f} s left"


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """Yields the function `Progress.show` for what is done within it."""
    shown = Progress(what)
    shown.show(0.0)
    try:
        yield shown.show
    finally:
        shown.clear()
