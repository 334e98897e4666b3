"""What people are told: no message costs a run, silence is silence, waiting shows how far it is."""

import contextlib
import io
import sys
import threading

import pytest

from cvae_tf.core import messages
from cvae_tf.core.progress import Progress, progress


def test_silence_is_of_one_thread_and_ends(capsys):
    thread = threading.Thread(target=messages.say, args=["from another thread"])
    with messages.verbosity(0):
        messages.say("said")
        assert not messages.warn("warned") and not messages.is_on_terminal()
        thread.start()
        thread.join()
    assert capsys.readouterr() == ("from another thread\n", "")
    messages.say("said")
    assert messages.warn("warned")
    assert capsys.readouterr() == ("said\n", "warning: warned\n")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_letters_that_the_output_lacks_are_written_as_codes(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    messages.say("runs/日本 \udcff")
    known = "日本" if encoding == "utf-8" else r"\u65e5\u672c"
    assert written.getvalue().decode(encoding) == f"runs/{known} \\udcff\n"


class Failing:
    """Output that cannot be written."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        raise self.error


FAILURES = [OSError("No space left"), ValueError("closed file"), RuntimeError("no kernel")]


@pytest.mark.parametrize("failure", [None, *FAILURES])
def test_no_message_stops_a_program(monkeypatch, capsys, failure):
    stream = failure and Failing(failure)
    monkeypatch.setattr(sys, "stderr", stream)
    assert messages.warn("warned")
    assert capsys.readouterr().out == ""  # where results go
    monkeypatch.setattr(sys, "stdout", stream)
    messages.say("said")
    with progress("training") as show:
        show(0.5)


class Clock:
    seconds = 0.0

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


def test_a_log_has_now_and_then_a_line_with_the_time_that_is_left(capsys):
    _run(29)
    assert capsys.readouterr().out == ""
    _run(100)
    assert capsys.readouterr().out == "".join(
        f"sampling:  {share}%, {left} s left  so far 3\n"
        for share, left in ((30, 70), (60, 40), (90, 10))
    )
    _run(10 * 3600)
    assert 30 < len(capsys.readouterr().out.splitlines()) < 80
    clock = Clock()
    shown = Progress("epoch 2/3", clock)
    shown.show(0.5)  # a resumed epoch: what was done before took no time here
    clock.seconds = 40.0
    shown.show(0.75)
    assert capsys.readouterr().out == "epoch 2/3:  75%, 40 s left\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_on_a_terminal_is_written_again_not_too_often_and_removed():
    clock = Clock()
    with contextlib.redirect_stdout(Terminal()) as terminal:
        shown = Progress("sampling", clock)
        for seconds, share in ((0.0, 0.0), (0.05, 0.1), (1.0, 0.5)):
            clock.seconds = seconds
            shown.show(share, "" if share else "a long note")
        shown.clear()
    first, second, blank, end = terminal.getvalue().split("\r")[1:]
    assert first == "sampling:   0%  a long note"
    assert second.rstrip() == "sampling:  50%, 1 s left" and len(second) == len(first)
    assert blank.strip() == end == "" and len(blank) == len(second)
    with contextlib.redirect_stdout(Terminal()) as terminal:
        with pytest.raises(ZeroDivisionError), progress("sampling") as show:
            show(1 / 0)
        assert terminal.getvalue().endswith(" \r")
        terminal.truncate(0)
        with messages.verbosity(0):
            _run(1000)
    assert terminal.getvalue().strip("\0") == ""
