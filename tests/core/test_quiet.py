import errno
import os
import sys

import pytest
from conftest import PROJECT, run_python

from cvae_tf.core import quiet


def test_messages_are_held_back_unless_the_import_fails(capfd):
    with quiet.held_back():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), quiet.held_back():
        os.write(2, b"the reason")
        raise ImportError
    with pytest.raises(ImportError), quiet.held_back(show_failure=False):
        os.write(2, b"details")
        raise ImportError
    os.write(2, b", and more")
    assert capfd.readouterr().err == "the reason, and more"


def test_what_others_write_is_left_alone_when_tensorflow_is_there(capfd):
    assert "tensorflow" in sys.modules
    with quiet.quiet_import():
        os.write(2, b"theirs")
    assert capfd.readouterr().err == "theirs"


def test_public_names_are_imported_quietly(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import cvae_tf; cvae_tf.train"
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_closed_stderr_is_nothing_to_hold_back(monkeypatch):
    def dup(handle):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "dup", dup)
    with quiet.held_back():
        pass
    with pytest.raises(ImportError), quiet.held_back():
        raise ImportError
