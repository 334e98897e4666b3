"""Runs and exports of earlier code resume, load and score as they did; see `earlier_runs.py`."""

import json

import earlier_runs
import golden_values
import pytest


@pytest.mark.parametrize("name", earlier_runs.RUNS)
def test_an_earlier_run_resumes_and_its_export_scores_as_it_did(name, tmp_path, training_only):
    figures = json.loads(earlier_runs.FIGURES.read_text(encoding="utf-8"))
    earlier_runs.unpack(tmp_path)
    found = earlier_runs.measure(tmp_path, name)
    is_here = golden_values.machine() == figures["machine"]
    golden_values.assert_same(found, figures[name], 0 if is_here else golden_values.TOLERANCE)
