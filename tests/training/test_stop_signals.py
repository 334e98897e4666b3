import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cvae_tf.training import stop_signals
from cvae_tf.training.stop_signals import Stopped


def _handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_stops_at_once_where_nothing_can_be_lost(number, code):
    """And the handlers are given back; the next signal is the first again."""
    before = _handlers()
    for _ in range(2):
        with pytest.raises(Stopped) as stopped, stop_signals.stopping_by_signals():
            assert _handlers() != before
            os.kill(os.getpid(), number)
        assert stopped.value.exit_code == code
    assert _handlers() == before


def test_first_signal_waits_for_a_good_moment():
    reached = False
    with (
        pytest.raises(Stopped, match="stopped by Terminated"),
        stop_signals.stopping_by_signals(),
        stop_signals.held_back() as stop_if_asked,
    ):
        stop_if_asked()
        os.kill(os.getpid(), signal.SIGTERM)
        reached = True
        stop_if_asked()
        pytest.fail("went on")
    assert reached


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_the_end_of_the_context_is_a_good_moment_too_and_errors_are_not_hidden(error):
    reached = False
    with pytest.raises(error or Stopped), stop_signals.stopping_by_signals():
        with stop_signals.held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            reached = True
            if error:
                raise error
        pytest.fail("went on")
    assert reached


def test_second_signal_ends_the_process_on_the_spot(request):
    program = (
        "import os; from cvae_tf.training import stop_signals\n"
        "with stop_signals.stopping_by_signals(), stop_signals.held_back():\n"
        "    os.kill(os.getpid(), 15)\n"
        "    print('waits', flush=True)\n"
        "    os.kill(os.getpid(), 15)\n"
        "    print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=request.config.rootpath, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "waits\n", "")


def test_holding_back_leaves_the_handlers_of_others():
    before = _handlers()
    with pytest.raises(KeyboardInterrupt), stop_signals.held_back():
        assert _handlers() == before
        signal.raise_signal(signal.SIGINT)


def test_a_stop_says_how_to_go_on_from_python_and_keeps_its_number():
    with (
        pytest.raises(KeyboardInterrupt, match=r"go on with: cvae_tf.resume\('my runs/it'\)$"),
        stop_signals.naming(Path("my runs/it")),
    ):
        raise KeyboardInterrupt
    with pytest.raises(Stopped) as stopped, stop_signals.naming(Path("here")):
        raise Stopped(signal.SIGTERM)
    assert (stopped.value.exit_code, stopped.value.run_dir) == (143, Path("here"))
    assert stopped.value.reason == "stopped by Terminated"
