import pytest
from conftest import PROJECT, run_python

_REPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
from cvae_tf.core.threads import set_threads
{before}
print(set_threads(int(sys.argv[2])))
threads = tf.config.threading
print(threads.get_inter_op_parallelism_threads(), threads.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(("threads", "inter", "intra"), [(1, 1, 1), (2, 2, 1), (8, 2, 4)])
@pytest.mark.slow
def test_each_half_of_a_batch_gets_half_of_the_threads(tmp_path, threads, inter, intra):
    done = run_python("-c", _REPORT.format(before=""), PROJECT, threads, cwd=tmp_path)
    assert done.stdout.split() == ["True", str(inter), str(intra)]


@pytest.mark.slow
def test_tensorflow_in_use_keeps_its_threads_and_nothing_fails(tmp_path):
    before = "set_threads(4); tf.zeros([1]); set_threads(0); print(set_threads(2))"
    done = run_python("-c", _REPORT.format(before=before), PROJECT, 4, cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["False", "True", "2", "2"])
