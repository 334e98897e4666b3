"""What people are told: no message costs a run, silence is silence, bars are for terminals."""

import contextlib
import io
import re
import sys
import threading

from cvae_tf.core import terminal
from cvae_tf.core.terminal import progress


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_stands_on_a_terminal_until_it_is_done_and_a_log_has_none(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with contextlib.redirect_stdout(Terminal()) as output, progress("sampling [x]") as show:
        show(0.25, "so far 3")
        terminal.say("said")
        show(0.5, "so far 4")
    written = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", output.getvalue())
    assert all(text in written for text in ("sampling [x]", "25%", "50%", "so far 4", "said\n"))
    assert "\x1b[?25l" not in output.getvalue()  # the cursor stays
    with progress("sampling") as show:
        show(0.5)
    with (
        contextlib.redirect_stdout(Terminal()) as silent,
        terminal.verbosity(0),
        progress("sampling") as show,
    ):
        show(0.5)
    assert capsys.readouterr().out == silent.getvalue() == ""
