"""What the scripts share: flags made from `Config`, errors for people, a quiet TensorFlow."""

import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from cvae_tf.config import PRESETS
from cvae_tf.core.errors import UserError
from cvae_tf.training.interrupts import Stopped

_INTERRUPTED = 130  # what shells report for a process ended by Ctrl-C


def define_flags(settings: type) -> None:
    """Makes a flag for each field of a class of settings; its value is None if it is not given."""
    for field in dataclasses.fields(settings):
        text = f"{field.metadata['help']} {describe_default(field)}"
        if field.metadata["choices"]:
            flags.DEFINE_enum(field.name, None, field.metadata["choices"], text)
        elif field.type in (bool, bool | None):
            flags.DEFINE_bool(field.name, None, text)
        elif field.type is int:
            flags.DEFINE_integer(field.name, None, text)
        elif field.type is float:
            flags.DEFINE_float(field.name, None, text)
        else:
            flags.DEFINE_string(field.name, None, text)


def describe_default(field: dataclasses.Field) -> str:
    """Says in brackets what a setting is if its flag is not given."""
    if any(field.name in preset for preset in PRESETS.values()):
        values = (
            f"{name}: {preset.get(field.name, field.default)}" for name, preset in PRESETS.items()
        )
        return f"(default by preset; {', '.join(values)})"
    return "" if field.default is None else f"(default: {field.default})"


def settings_from_flags(settings: type) -> dict[str, Any]:
    """Collects those settings whose flags were given; a path holds in any folder."""
    values = {field.name: flags.FLAGS[field.name].value for field in dataclasses.fields(settings)}
    if values["data_path"]:
        values["data_path"] = str(Path(values["data_path"]).absolute())
    return {name: value for name, value in values.items() if value is not None}


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Within it, TensorFlow is imported quietly; late, so that wrong flags need not wait for it."""
    with _quiet_import():
        import tensorflow as tf

        yield
        tf.config.list_physical_devices()


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a user's mistake ends in one line and exit code 1."""
    app.run(functools.partial(_call_for_people, main))


def _call_for_people(main: Callable[[], None], arguments: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    try:
        if arguments[1:]:
            raise UserError(f"unexpected argument '{arguments[1]}'; flags are --name=value.")
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except Stopped as stopped:
        sys.stdout.flush()
        print(f"\n{stopped}", file=sys.stderr, flush=True)
        os._exit(stopped.exit_code)  # at once: TensorFlow would take half a second to end
    except BrokenPipeError:  # nobody reads the output any more, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Holds back what TensorFlow's C++ part says on its way in; shows it if that fails.

    Its first messages come before its setting for the log is read; that hides the later ones, which
    speak of optimisations not made. What goes wrong is raised as an exception too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held_back:
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed:
                held_back.seek(0)
                os.write(2, held_back.read())
