import threading

from cvae_tf.core import messages


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
