"""Stopping politely: a first signal waits for a good moment, a second one does not."""

import os
import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal stopped the training; the text says what to do next."""

    def __init__(self, number: int, text: str):
        """Takes the number of the signal and the text."""
        super().__init__(text)
        self.exit_code = 128 + number  # as shells report it


class Interrupts:
    """Notes SIGINT and SIGTERM while it is entered.

    While `wait` is false, the first signal raises `Stopped` at once; while it is true, the signal
    is only noted in `received`, for the program to call `now` at a good moment. A second signal
    ends the process on the spot: everything on the disk is whole at any moment.
    """

    def __init__(self, advice: str):
        """Takes what people should be told to do next."""
        self.received: int | None = None
        self._advice = advice
        self.wait = False

    def __enter__(self) -> "Interrupts":
        """Takes over the two signals, where Python lets it: in the main thread."""
        main = threading.current_thread() is threading.main_thread()
        signals = _SIGNALS if main else ()
        self._before = {number: signal.signal(number, self._handle) for number in signals}
        return self

    def __exit__(self, *_) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        if not self.wait:
            self.now()

    def now(self) -> None:
        """Stops because of the signal that was received."""
        raise Stopped(
            self.received, f"stopped by {signal.strsignal(self.received)}; {self._advice}"
        )
