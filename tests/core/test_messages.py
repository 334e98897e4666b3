"""What people are told: no message costs a run, silence is silence, waiting shows how far it is."""

import contextlib
import io
import sys
import threading

from cvae_tf.core import terminal
from cvae_tf.core.terminal import Progress, progress


def test_silence_is_of_one_thread_and_ends(capsys):
    thread = threading.Thread(target=terminal.say, args=["from another thread"])
    with terminal.verbosity(0):
        terminal.say("said")
        assert not terminal.warn("warned")
        thread.start()
        thread.join()
    assert capsys.readouterr() == ("from another thread\n", "")
    assert terminal.warn("warned")
    assert capsys.readouterr() == ("", "warning: warned\n")


def test_letters_that_the_output_lacks_are_written_as_codes(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    terminal.say("é 日")
    assert written.getvalue().decode("cp1252") == "é \\u65e5\n"


def test_no_message_stops_a_program(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "stdout", stream)
        assert terminal.warn("warned")
        with progress("training") as show:
            show(0.5)


def _show(*views):
    """Shows shares of a task, each after so many seconds."""
    clock = iter([0, *(seconds for seconds, _ in views)])
    shown = Progress("sampling", clock.__next__)
    for _, share in views:
        shown.show(share, "so far 3")
    shown.clear()


def test_a_log_has_now_and_then_a_line_with_the_time_that_is_left(capsys):
    _show(*((second, second / 100) for second in range(100)))
    assert capsys.readouterr().out == "".join(
        f"sampling:  {share}%, {left} s left  so far 3\n"
        for share, left in ((30, 70), (60, 40), (90, 10))
    )
    _show((0, 0.5), (40, 0.75))  # resumed: what was done before took no time here
    assert "75%, 40 s left" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_on_a_terminal_is_written_again_not_too_often_and_removed():
    with contextlib.redirect_stdout(Terminal()) as terminal:
        _show((0, 0), (0.05, 0.1), (1, 0.5))
    first, second, blank, end = terminal.getvalue().split("\r")[1:]
    assert first == "sampling:   0%  so far 3"
    assert second == "sampling:  50%, 1 s left  so far 3"
    assert blank.strip() == end == "" and len(blank) == len(second)
