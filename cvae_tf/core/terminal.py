"""Messages and progress bars for people who wait, unless they asked for silence."""

import contextlib
import contextvars
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from cvae_tf.core import paths

_TYPED = {"command": lambda name: f"python -m cvae_tf {name}"}
_VERBOSE = contextvars.ContextVar("verbose", default=1)


@contextlib.contextmanager
def verbosity(verbose: int) -> Iterator[None]:
    """Sets how much is said within it, in this thread alone: 0 nothing, 1 the usual, 2 all."""
    token = _VERBOSE.set(verbose)
    try:
        yield
    finally:
        _VERBOSE.reset(token)


def says_all() -> bool:
    """Whether people want to see each of many lines."""
    return _VERBOSE.get() > 1


def say(text: str) -> None:
    """Prints a text at once."""
    if _VERBOSE.get():
        show(f"{text}\n", sys.stdout)


def warn(text: str) -> bool:
    """Prints a warning; returns whether people want to see warnings."""
    if _VERBOSE.get():
        show(f"warning: {text}\n", sys.stderr)
    return bool(_VERBOSE.get())


def show(text: str, stream: TextIO | None) -> None:
    """Writes a text at once, and never fails: no message is worth a run.

    Letters that a stream does not have are written as codes. What cannot be written is left out:
    the disk may be full, the reader of a pipe gone, the stream closed, or None.
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
    with contextlib.suppress(Exception):  # if there is no output, or it is closed
        return bool(_VERBOSE.get()) and sys.stdout.isatty()
    return False


def name_commands(typed: Callable[[str], str]) -> None:
    """Sets what people type here for a command of a given name."""
    _TYPED["command"] = typed


def command(name: str, *flags: str) -> str:
    """A command as people type it here."""
    return " ".join([_TYPED["command"](name), *map(shlex.quote, flags)])


def link(path: Path) -> str:
    """A path for people: on a terminal an address that can be clicked."""
    return path.absolute().as_uri() if is_on_terminal() else paths.shown(path)


class Progress:
    """A bar that shows the share done and the time left; none in a log."""

    def __init__(self, what: str):
        """Takes what is being done."""
        self.what, self._bar, self._task = what, None, None

    def show(self, share: float, note: str = "") -> None:
        """Shows the share that is done, from 0 to 1, and a note, such as a mean."""
        if self._bar is None and is_on_terminal():
            self._bar = _new_bar()
            self._task = self._bar.add_task(self.what, total=1.0, completed=share, note=note)
        if self._bar is not None:
            self._bar.start()  # does nothing if it is shown already
            self._bar.update(
                self._task, description=self.what, completed=share, note=note, refresh=True
            )

    def hide(self) -> None:
        """Takes the bar away, until something is shown again."""
        if self._bar is not None:
            with contextlib.suppress(OSError):  # the terminal may be gone
                self._bar.stop()


def _new_bar() -> Any:
    # Only where there is a bar is it worth the time to import `rich`.
    from rich import console, progress

    screen = console.Console(file=sys.stdout)
    screen.show_cursor = lambda show=True: False  # a killed process would leave it hidden
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("left"),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=screen,
        transient=True,
        refresh_per_second=4,
    )


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """Yields the function `Progress.show` for what is done within it."""
    shown = Progress(what)
    try:
        yield shown.show
    finally:
        shown.hide()
