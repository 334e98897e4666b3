import contextlib
import io

import pytest

from cvae_tf.core import messages
from cvae_tf.core.progress import Progress, progress


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def _run(seconds, steps=1000):
    """Shows `steps` shares in so many seconds."""
    clock = Clock()
    shown = Progress("sampling", clock)
    for step in range(steps + 1):
        clock.seconds = seconds * step / steps
        shown.show(step / steps, "so far 3")
    shown.clear()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextlib.contextmanager
def _terminal():
    with contextlib.redirect_stdout(Terminal()) as terminal:
        yield terminal


def test_log_of_a_short_task_has_no_lines(capsys):
    _run(29)
    assert capsys.readouterr().out == ""


def test_log_has_a_line_each_half_a_minute_with_the_time_that_is_left(capsys):
    _run(100)
    assert capsys.readouterr().out == (
        "sampling:  30%, 70 s left  so far 3\n"
        "sampling:  60%, 40 s left  so far 3\n"
        "sampling:  90%, 10 s left  so far 3\n"
    )


def test_log_of_a_long_task_stays_readable(capsys):
    _run(10 * 3600, steps=36_000)
    lines = capsys.readouterr().out.splitlines()
    assert 30 < len(lines) < 80


def test_time_left_is_of_what_was_done_here(capsys):
    clock = Clock()
    shown = Progress("epoch 2/3", clock)
    shown.show(0.5)  # a resumed epoch
    clock.seconds = 40.0
    shown.show(0.75)
    assert capsys.readouterr().out == "epoch 2/3:  75%, 40 s left\n"


def test_line_on_a_terminal_is_written_again_and_removed():
    clock = Clock()
    with _terminal() as terminal:
        shown = Progress("sampling", clock)
        shown.show(0.0, "a long note")
        clock.seconds = 1.0
        shown.show(0.5)
        shown.clear()
    first, second, blank, end = terminal.getvalue().split("\r")[1:]
    assert first == "sampling:   0%  a long note"
    assert second.rstrip() == "sampling:  50%, 1 s left" and len(second) == len(first)
    assert blank.strip() == end == "" and len(blank) == len(second)


def test_terminal_is_not_flooded():
    with _terminal() as terminal:
        _run(1.0)
    assert 5 < terminal.getvalue().count("%") < 15


def test_nothing_is_shown_in_silence():
    with _terminal() as terminal, messages.verbosity(0):
        _run(1000)
    assert terminal.getvalue() == ""


def test_line_is_removed_when_the_task_fails():
    with _terminal() as terminal, pytest.raises(ZeroDivisionError), progress("sampling") as show:
        show(0.5)
        raise ZeroDivisionError
    assert terminal.getvalue().endswith(" \r")
