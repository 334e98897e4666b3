"""Names, weights, noise and figures are those that `golden_values.py` wrote into a file."""

import json
import math

import golden_values
import pytest

VALUES = json.loads(golden_values.VALUES.read_text(encoding="utf-8"))
IS_SAME_MACHINE = golden_values.machine() == VALUES["machine"]
_TOLERANCE = 1e-4
_QUICK = ("tutorial", "fast", "mlp20", "conditional", "gan")
_CASES = [
    pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
    for name in golden_values.CASES
]


def _differences(found, wanted, where=""):
    """Where two structures of plain values differ: exactly here, by 1e-4 on other machines."""
    if isinstance(wanted, dict) and isinstance(found, dict) and list(found) == list(wanted):
        parts = [(f"{where}/{key}", found[key], wanted[key]) for key in wanted]
    elif isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        parts = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(found, wanted, strict=True))]
    else:
        return [] if _are_equal(found, wanted, where) else [f"{where}: {found}, not {wanted}"]
    return [each for place, *pair in parts for each in _differences(*pair, place)]


def _are_equal(found, wanted, where):
    if IS_SAME_MACHINE or not isinstance(wanted, float):
        is_of_figures = where.endswith("trained/sha256") and not IS_SAME_MACHINE
        return found == wanted or is_of_figures
    return math.isclose(found, wanted, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


@pytest.fixture(scope="module")
def dataset():
    return golden_values.digits()


def _plain(values):
    """The values as they come back from a file."""
    return json.loads(json.dumps(values))


def test_noise_and_orders_are_what_they_were():
    assert not _differences(_plain(golden_values.noise()), VALUES["noise"])


@pytest.mark.parametrize("name", golden_values.CASES)
def test_variables_and_initial_weights_are_what_they_were(name, dataset):
    model = golden_values.build_trainer(name, dataset).model
    found = _plain(golden_values.describe_weights(model))
    assert not _differences(found, VALUES[name]["initial"])


@pytest.mark.parametrize("name", _CASES)
def test_figures_after_twenty_steps_are_what_they_were(name, dataset):
    found = _plain(golden_values.collect(name, dataset))
    assert not _differences(found, VALUES[name])
