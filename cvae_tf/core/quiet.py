"""TensorFlow without what it says of itself: on its way in, and in notebooks when it writes."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

from cvae_tf.core import keras_import


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Within it, TensorFlow is imported quietly, if it was not before.

    Its first messages come before its setting for the log is read; that setting hides the later
    ones, which speak of optimisations not made. What goes wrong is raised as an exception too.

    Raises:
        UserError: if Keras cannot be used as it is set up here.
    """
    keras_import.check_backend()
    if "tensorflow" in sys.modules:
        yield
        return
    keras_import.prepare()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_back():
        yield
        if "tensorflow" in sys.modules:
            sys.modules["tensorflow"].config.list_physical_devices()  # which speaks too


@contextlib.contextmanager
def quiet_logging(name: str = "tensorflow", level: int = logging.WARNING) -> Iterator[None]:
    """Within it, a library logs warnings and worse only; in notebooks it may begin with less."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(max(before, level))
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def held_back(show_failure: bool = True) -> Iterator[None]:
    """Holds back what is written to stderr, also by C++; shows it if what is within fails."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # there may be no room for it
            sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        failed = False
        try:
            yield
        except Exception:
            failed = show_failure
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed:
                kept.seek(0)
                with contextlib.suppress(OSError):
                    os.write(2, kept.read())
