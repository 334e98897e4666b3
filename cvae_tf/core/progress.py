"""How far something has come: a line that is written again, or now and then a line of a log."""

import contextlib
import time
from collections.abc import Callable, Iterator

from cvae_tf.core import messages

_FRAME = 0.1  # seconds between two views on a terminal
_PAUSE = 30.0  # seconds between two lines of a log, at least


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
        if messages.is_on_terminal():
            if not self._width or share == 1 or now - self._shown >= _FRAME:
                self._write(text)
                self._shown = now
        # A log of ten hours needs no line each half a minute.
        elif now - self._shown >= max(_PAUSE, (now - self._began) / 10):
            messages.say(text)
            self._shown = now

    def clear(self) -> None:
        """Leaves an empty line on a terminal."""
        if self._width:
            messages.say("\r" + " " * self._width, end="\r")
            self._width = 0

    def _write(self, text: str) -> None:
        text = text.ljust(self._width)
        messages.say("\r" + text, end="")
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
