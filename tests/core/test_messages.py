import errno
import io
import sys
import threading

import pytest

from cvae_tf.core import messages
from cvae_tf.core.progress import progress


def test_silence_is_for_both_outputs_and_ends(capsys):
    with messages.verbosity(0):
        messages.say("said")
        messages.warn("warned")
        assert not messages.is_on_terminal()
    assert capsys.readouterr() == ("", "")
    messages.say("said")
    messages.warn("warned")
    assert capsys.readouterr() == ("said\n", "warning: warned\n")


def test_silence_is_of_one_thread(capsys):
    with messages.verbosity(0):
        thread = threading.Thread(target=messages.say, args=["from another thread"])
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "from another thread\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_letters_that_the_output_lacks_are_written_as_codes(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    messages.say("runs/日本 \udcff")
    known = "日本" if encoding == "utf-8" else r"\u65e5\u672c"
    assert written.getvalue().decode(encoding) == f"runs/{known} \\udcff\n"


class Failing(io.StringIO):
    """Output that cannot be written."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def isatty(self):
        raise self.error


FAILURES = [
    OSError(errno.ENOSPC, "No space left on device"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    ValueError("I/O operation on closed file"),
    RuntimeError("the kernel is gone"),
]


@pytest.mark.parametrize("stream", [None, *map(Failing, FAILURES)])
def test_no_message_stops_a_program(monkeypatch, stream):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    messages.say("said")
    assert messages.warn("warned")
    with progress("training") as show:
        show(0.5)


def test_warnings_do_not_go_where_results_go(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert messages.warn("warned")
    assert capsys.readouterr().out == ""
