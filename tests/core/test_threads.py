import pytest
from conftest import PROJECT, run_python

_REPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
from cvae_tf.threads import set_threads
{before}
set_threads(int(sys.argv[2]))
threads = tf.config.threading
print(threads.get_inter_op_parallelism_threads(), threads.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(("threads", "inter", "intra"), [(1, 1, 1), (2, 2, 1), (8, 2, 4)])
def test_each_half_of_a_batch_gets_half_of_the_threads(tmp_path, threads, inter, intra):
    done = run_python("-c", _REPORT.format(before=""), PROJECT, threads, cwd=tmp_path)
    assert done.stdout.split() == [str(inter), str(intra)]


@pytest.mark.parametrize(("threads", "fails"), [(0, False), (2, True)])
def test_threads_cannot_be_asked_for_too_late(tmp_path, threads, fails):
    script = _REPORT.format(before="tf.zeros([1])")
    done = run_python("-c", script, PROJECT, threads, cwd=tmp_path)
    assert ("must be set before TensorFlow is first used" in done.stderr) == fails
    assert (done.returncode != 0) == fails
