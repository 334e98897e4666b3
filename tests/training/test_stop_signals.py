import os
import signal
import subprocess
import sys

import pytest

from cvae_tf.training import signals
from cvae_tf.training.signals import Stopped


def _handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_stops_at_once_where_nothing_can_be_lost(number, code):
    """And the handlers are given back; the next signal is the first again."""
    before = _handlers()
    for _ in range(2):
        with pytest.raises(Stopped) as stopped, signals.stopping_by_signals():
            assert _handlers() != before
            os.kill(os.getpid(), number)
        assert stopped.value.exit_code == code
    assert _handlers() == before


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_first_signal_waits_for_a_good_moment_or_the_end_and_hides_no_error(error):
    reached = []
    with (
        pytest.raises(Stopped),
        signals.stopping_by_signals(),
        signals.held_back() as stop_if_asked,
    ):
        stop_if_asked()
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("after the signal")
        stop_if_asked()
        pytest.fail("went on")
    with pytest.raises(error or Stopped), signals.stopping_by_signals():
        with signals.held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the end")
            if error:
                raise error
        pytest.fail("went on")
    assert reached == ["after the signal", "the end"]


def test_second_signal_ends_the_process_on_the_spot(request):
    program = (
        "import os; from cvae_tf.training import signals\n"
        "with signals.stopping_by_signals(), signals.held_back():\n"
        "    os.kill(os.getpid(), 15)\n"
        "    print('waits', flush=True)\n"
        "    os.kill(os.getpid(), 15)\n"
        "    print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=request.config.rootpath, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "waits\n", "")
