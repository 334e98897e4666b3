import errno
import os

import pytest
from conftest import tiny_cvae

from cvae_tf.core.errors import UserError
from cvae_tf.training import checkpoint_files
from cvae_tf.training.checkpoint_files import Progress


@pytest.mark.parametrize("step", [3, 4], ids=["of the same step", "of the next step"])
def test_a_checkpoint_that_cannot_be_written_leaves_all_as_it_was(tmp_path, monkeypatch, step):
    """The disk is full after the arrays: no half of it stays, or takes another's place."""
    model = tiny_cvae()
    model.optimizer.iterations.assign(3)
    checkpoint_files.save_checkpoint(tmp_path, model, Progress(1, 3, []))
    before = _contents(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_files, "_sha256", full)
    model.optimizer.iterations.assign(step)
    with pytest.raises(UserError, match="cannot be written .No space left on device"):
        checkpoint_files.save_checkpoint(tmp_path, model, Progress(2, 0, []))
    assert _contents(tmp_path) == before


def _contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
