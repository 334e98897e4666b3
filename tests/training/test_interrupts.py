import os
import signal
import subprocess
import sys

import pytest

from cvae_tf.training.interrupts import Interrupts, Stopped


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_stops_at_once_where_nothing_can_be_lost(number, code):
    with pytest.raises(Stopped, match="go on so") as stopped, Interrupts("go on so"):
        os.kill(os.getpid(), number)
    assert stopped.value.exit_code == code


def test_first_signal_waits_for_a_good_moment():
    reached = False
    with pytest.raises(Stopped), Interrupts("") as interrupts:
        interrupts.wait = True
        os.kill(os.getpid(), signal.SIGTERM)
        reached = True
        assert interrupts.received == signal.SIGTERM
        interrupts.now()
    assert reached


def test_second_signal_ends_the_process_on_the_spot(request):
    program = (
        "import os; from cvae_tf.interrupts import Interrupts\n"
        "with Interrupts('') as interrupts:\n"
        "    interrupts.wait = True\n"
        "    os.kill(os.getpid(), 15)\n"
        "    print('waits', flush=True)\n"
        "    os.kill(os.getpid(), 15)\n"
        "    print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=request.config.rootpath, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (143, "waits\n")


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts(""):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
