"""Loads the fixtures, which are in `helpers.py`."""


def pytest_configure(config):
    hands_out_tests = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not hands_out_tests:  # it runs none, so it need not import TensorFlow
        config.pluginmanager.import_plugin("helpers")
