"""docs/notebook.ipynb: it runs from top to bottom, and shows its pictures where nobody runs it."""

import json

import pytest
from helpers import PROJECT, run_python

PATH = PROJECT / "docs" / "notebook.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]

# Runs the cells with a quarter of the images, two epochs and a classifier of few steps; in the
# place of Jupyter's pictures stands what makes sure that they are there.
_RUN = """
import json, os, sys, types
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, sys.argv[1])
import cvae_tf
cvae_tf.train  # now TensorFlow is there, imported quietly
from cvae_tf.data import loading
from cvae_tf import distances

def image(path):
    with open(path, "rb") as file:
        assert file.read(3) == b"GIF"

loading._COPIES, distances._FEWEST_STEPS, distances._MOST_IMAGES = 4, 3, 500
sys.modules["IPython.display"] = types.SimpleNamespace(Image=image)
names = {}
for number, code in enumerate(json.load(open("cells.json")), start=1):
    exec(compile(code, f"cell {number}", "exec"), names)
print("trained:", names["run"].history[-1]["test_elbo"])
print("integrated:", float(names["found"].log_evidence.mean()))
"""


def _number(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return float(line.removeprefix(name).split()[0])


@pytest.mark.slow
def test_notebook_runs_without_a_word_of_warning_and_its_numbers_agree(tmp_path):
    sources = ["".join(cell["source"]) for cell in CODE]
    assert sum("epochs=5" in source for source in sources) == 1
    shorter = [source.replace("epochs=5", "epochs=2") for source in sources]
    (tmp_path / "cells.json").write_text(json.dumps(shorter))
    run = run_python("-c", _RUN, PROJECT, cwd=tmp_path, KERAS_HOME=str(tmp_path / "keras"))
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stderr.splitlines() if "plt.show()" not in line] == []
    assert "signatures: " in run.stdout and " decode encode " in run.stdout
    elbo, exact = _number(run.stdout, "trained:"), _number(run.stdout, "integrated:")
    assert -190 < elbo < exact < -90
    for way in ("by hand:        ELBO", "by the model:   ELBO"):
        assert _number(run.stdout, way) == pytest.approx(elbo, abs=1.5)
    assert _number(run.stdout, "log p(x), exact") == pytest.approx(exact, abs=0.01)


def test_notebook_holds_the_pictures_of_one_run_and_no_places_of_one_machine():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell["outputs"]]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert sum(kind.startswith("image/") for kind in kinds) >= 9
    assert not [each for each in outputs if each["output_type"] == "error"]
    told = ["".join(each.get("text", "")) for each in outputs]
    assert not any(place in str(told) for place in ("/tmp", "/home", "/root", "site-packages"))
