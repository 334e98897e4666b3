"""Stopping politely: by Ctrl-C from Python, by signals from a script.

`run_training.py` decides what is written then.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Someone stopped the program; what was trained is kept, and training can go on."""

    def __init__(self, number: int = signal.SIGINT, run_dir: Path | None = None):
        """Takes the number of the signal, and the run that was being trained, if there was one."""
        self.number, self.run_dir = int(number), run_dir
        name = "Ctrl-C" if number == signal.SIGINT else signal.strsignal(number)
        self.reason = f"stopped by {name}"
        advice = f"; go on with: cvae_tf.resume({str(run_dir)!r})" if run_dir else ""
        super().__init__(self.reason + advice)

    @property
    def exit_code(self) -> int:
        """What shells report for a process that a signal ended."""
        return 128 + self.number


class _Signals:
    """The state of signals; there is one, as signals belong to the process."""

    received: int | None = None
    are_held_back = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)  # files on the disk are whole at any moment
        self.received = number
        if not self.are_held_back:
            raise Stopped(number)

    def stop_if_asked(self, agree: Callable[[int | None], int | None]) -> None:
        number = agree(self.received)
        if number is not None:
            raise Stopped(number)


_signals = _Signals()


def _alone(received: int | None) -> int | None:
    """For a single worker: only what was received here counts."""
    return received


@contextlib.contextmanager
def stopping_by_signals() -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into `Stopped`; the second ends the process.

    For scripts, in the main thread. Users of our functions from Python keep their own handlers.
    """
    before = {number: signal.signal(number, _signals.handle) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signals.received = None


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Restores the signal handlers afterwards, if a library has replaced them."""
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    try:
        yield
    finally:
        is_main = threading.current_thread() is threading.main_thread()  # only it can
        for number, handler in before.items() if is_main else ():
            if handler is not None:  # None: not set by Python
                signal.signal(number, handler)


@contextlib.contextmanager
def held_back(
    agree: Callable[[int | None], int | None] = _alone,
) -> Iterator[Callable[[], None]]:
    """Lets the first signal to a script wait for a good moment; other handlers are unchanged.

    Args:
        agree: finds the signal that counts, if any, given the one received here, if any, so that
            several workers stop at the same moment.

    Yields:
        A function for good moments, which raises `Stopped` if there was a signal; the end does so
        too.
    """
    before, _signals.are_held_back = _signals.are_held_back, True
    try:
        yield lambda: _signals.stop_if_asked(agree)
    finally:
        _signals.are_held_back = before
    if not before:
        _signals.stop_if_asked(_alone)


@contextlib.contextmanager
def before_failures() -> Iterator[None]:
    """Turns a failure within it into `Stopped` if there was a signal.

    For workers that write nothing: they fail because the others were stopped first.
    """
    try:
        yield
    except Exception:
        _signals.stop_if_asked(_alone)
        raise


@contextlib.contextmanager
def naming(run_dir: Path) -> Iterator[None]:
    """Turns a KeyboardInterrupt into a `Stopped` that names the run to go on with."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = getattr(interrupt, "number", signal.SIGINT)
        raise Stopped(number, run_dir) from None
