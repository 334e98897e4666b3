"""Names, weights, noise, figures, earlier runs: as `golden_values.py`, `earlier_runs.py` say."""

import json

import earlier_runs
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


def test_noise_and_orders_are_what_they_were():
    golden_values.assert_same(golden_values.noise(), VALUES["noise"], golden_values.TOLERANCE)


@pytest.mark.parametrize("name", [name for name in golden_values.CASES if name not in _QUICK])
def test_variables_and_initial_weights_are_what_they_were(name, dataset):
    model = golden_values.build_trainer(name, dataset).model
    assert json.loads(json.dumps(golden_values.describe_weights(model))) == VALUES[name]["initial"]


@pytest.mark.parametrize("name", _CASES)
def test_figures_after_twenty_steps_are_what_they_were(name, dataset):
    same_everywhere, figures = golden_values.collect(name, dataset)
    golden_values.assert_same(same_everywhere, VALUES[name], golden_values.TOLERANCE)
    of_machines = VALUES["after_training"]
    here = of_machines.get(golden_values.machine(), {})
    if name in here:
        assert figures == here[name]
    else:
        wanted = next(each[name] for each in of_machines.values() if name in each)
        assert figures.keys() == wanted.keys()
        for key in figures.keys() - {"sha256", "test_kl"}:
            tolerance = golden_values.TOLERANCE_OF_CHAOS
            assert figures[key] == pytest.approx(wanted[key], rel=tolerance), key


@pytest.mark.parametrize("name", earlier_runs.RUNS)
def test_an_earlier_run_resumes_and_its_export_scores_as_it_did(name, tmp_path, training_only):
    figures = json.loads(earlier_runs.FIGURES.read_text(encoding="utf-8"))
    earlier_runs.unpack(tmp_path)
    found = earlier_runs.measure(tmp_path, name)
    is_here = golden_values.machine() == figures["machine"]
    golden_values.assert_same(found, figures[name], 0 if is_here else golden_values.TOLERANCE)
