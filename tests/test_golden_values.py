"""Names, weights, noise and figures are those that `golden_values.py` wrote into a file."""

import json

import golden_values
import pytest

VALUES = json.loads(golden_values.VALUES.read_text(encoding="utf-8"))
_QUICK = ("fast", "mlp20")
_CASES = [
    pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
    for name in golden_values.CASES
]


@pytest.fixture(scope="module")
def dataset():
    return golden_values.digits()


def _assert_same(found, wanted):
    golden_values.assert_same(found, wanted, VALUES["machine"])


def test_noise_and_orders_are_what_they_were():
    _assert_same(golden_values.noise(), VALUES["noise"])


@pytest.mark.parametrize("name", [name for name in golden_values.CASES if name not in _QUICK])
def test_variables_and_initial_weights_are_what_they_were(name, dataset):
    model = golden_values.build_trainer(name, dataset).model
    _assert_same(golden_values.describe_weights(model), VALUES[name]["initial"])


@pytest.mark.parametrize("name", _CASES)
def test_figures_after_twenty_steps_are_what_they_were(name, dataset):
    _assert_same(golden_values.collect(name, dataset), VALUES[name])
