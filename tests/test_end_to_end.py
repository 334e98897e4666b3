import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from conftest import PROJECT, run_python, run_script
from PIL import Image

from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting import export_run
from cvae_tf.training import building, checkpoint_files, run_directory

HEADER = (
    "epoch,step,train_elbo,test_elbo,test_log_likelihood,test_kl,"
    "train_seconds,test_seconds,images_per_second"
)
TIMINGS = ("train_seconds", "test_seconds", "images_per_second")


class Trained:
    """A run that `train.py` made, from a directory that is not the project's."""

    def __init__(self, place, small_npz):
        self.place, self.directory = place, place / "run"
        self.arguments = [
            "--run_dir=run", f"--data_path={small_npz}", "--epochs=2", "--batch_size=32",
            "--seed=5", "--learning_rate=1e-3",
        ]  # fmt: skip
        self.process = run_script("train.py", *self.arguments, cwd=place)
        assert self.process.returncode == 0, self.process.stderr

    @property
    def metrics(self):
        with (self.directory / "metrics.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained_twice(tmp_path_factory, small_npz):
    """Two runs of the same command, side by side."""
    places = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(Trained, places, [small_npz] * 2))


@pytest.fixture(scope="module")
def trained(trained_twice):
    return trained_twice[0]


@pytest.fixture(scope="module")
def trained_again(trained_twice):
    return trained_twice[1]


def _everything_in(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _arrays(run_dir):
    """The bytes of all that training has changed, by name, of the checkpoint after 8 steps."""
    with np.load(run_dir / "checkpoints/step_00000008/state.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays if name != "state"}


def _samples(saved_model):
    loaded = tf.saved_model.load(str(saved_model))
    return loaded.sample(num=4, seed=[1, 2])["images"].numpy()


def test_run_directory_holds_everything_of_a_run_and_nothing_else(trained):
    names = {str(path.relative_to(trained.directory)) for path in trained.directory.rglob("*")}
    assert {name for name in names if not name.startswith("export/1/")} == {
        "config.json", "metrics.csv", "finishing.npz", "progress.gif", "manifold.png",
        "latents.png", "curves.png", "checkpoints",
        "checkpoints/step_00000004", "checkpoints/step_00000004/state.npz",
        "checkpoints/step_00000004/SHA256SUMS",
        "checkpoints/step_00000008", "checkpoints/step_00000008/state.npz",
        "checkpoints/step_00000008/SHA256SUMS",
        "images", "images/image_at_epoch_0000.png", "images/image_at_epoch_0001.png",
        "images/image_at_epoch_0002.png", "export", "export/1", "report.html",
    }  # fmt: skip
    assert {"export/1/saved_model.pb", "export/1/model.json"} <= names
    assert [path.name for path in trained.place.iterdir()] == ["run"]


def test_configuration_is_that_of_the_flags(trained, small_npz):
    contents = json.loads((trained.directory / "config.json").read_text())
    assert contents["config"] == Config.create(
        data_path=str(small_npz), epochs=2, batch_size=32, seed=5, learning_rate=1e-3
    ).to_json()  # fmt: skip
    assert (contents["data"]["train_images"], contents["data"]["test_images"]) == (128, 32)


def test_metrics_have_a_row_for_each_epoch(trained):
    assert (trained.directory / "metrics.csv").read_text().splitlines()[0] == HEADER
    rows = [{name: float(value) for name, value in row.items()} for row in trained.metrics]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 4), (2, 8)]
    for row in rows:
        elbo = row["test_log_likelihood"] - row["test_kl"]
        assert row["test_elbo"] == pytest.approx(elbo, abs=2e-4)
        assert -784 < row["test_elbo"] < -50
    assert rows[1]["test_elbo"] > rows[0]["test_elbo"]


def test_pictures_are_of_one_size_and_make_the_animation(trained):
    pictures = sorted((trained.directory / "images").iterdir())
    sizes = {iio.imread(picture).shape[:2] for picture in pictures}
    assert len(sizes) == 1
    with Image.open(trained.directory / "progress.gif") as gif:
        assert gif.n_frames == 3
        assert gif.size == sizes.pop()[::-1]


def test_screen_tells_data_progress_and_results_without_noise(trained, small_npz):
    assert trained.process.stderr == ""
    text = trained.process.stdout
    for part in (str(small_npz), "epoch 1/2: test ELBO", "epoch 2/2", "export/1"):
        assert part in text
    assert f"{float(trained.metrics[1]['test_elbo']):.2f}" in text


def test_model_description_has_config_data_and_last_metrics(trained):
    described = json.loads((trained.directory / "export" / "1" / "model.json").read_text())
    contents = json.loads((trained.directory / "config.json").read_text())
    assert described["config"] == contents["config"]
    assert described["data"] == contents["data"]
    last = {name: float(value) for name, value in trained.metrics[-1].items()}
    assert described["metrics"] == last
    assert described["versions"]["tensorflow"] == tf.__version__


def test_the_same_seed_gives_the_same_run_in_another_process(trained, trained_again):
    for first, again in zip(trained.metrics, trained_again.metrics, strict=True):
        for name in set(first) - set(TIMINGS):
            assert first[name] == again[name]
    for name in ("image_at_epoch_0002.png", "image_at_epoch_0000.png"):
        first, again = (each.directory / "images" / name for each in (trained, trained_again))
        assert first.read_bytes() == again.read_bytes()


def test_the_same_seed_gives_bit_identical_weights(trained, trained_again):
    first, again = (_arrays(each.directory) for each in (trained, trained_again))
    assert set(first) == set(again) and len(first) > 30
    assert first == again


def test_saved_model_holds_the_trained_weights(trained):
    run = run_directory.load_run(str(trained.directory))
    model = building.build_model(run.config, run.data["image_shape"], run.data["train_images"])
    checkpoint_files.restore_newest(run.checkpoints, model)
    expected = model.sample(4, derived_key(tf.constant([1, 2]), Purpose.SAMPLES))
    np.testing.assert_allclose(_samples(trained.directory / "export/1"), expected, atol=1e-5)


def test_test_elbo_can_be_had_again_from_the_checkpoint(trained, small_npz):
    run = run_directory.load_run(str(trained.directory))
    model = building.build_model(run.config, run.data["image_shape"], run.data["train_images"])
    checkpoint_files.restore_newest(run.checkpoints, model)
    with np.load(small_npz) as arrays:
        images = (arrays["x_test"] > 127).astype(np.float32)[..., None]
    draws = [np.mean(model.elbo_terms(images, tf.constant([9, i])).elbo) for i in range(30)]
    error = np.std(draws)
    assert abs(np.mean(draws) - float(trained.metrics[-1]["test_elbo"])) < 5 * error + 0.01


# Exporting again


@pytest.mark.slow
def test_export_script_writes_the_same_model_again(trained, tmp_path):
    shutil.copytree(trained.directory, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "export")
    (tmp_path / "run" / "progress.gif").unlink()
    done = run_script("export.py", "--run_dir=run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, again = trained.directory, tmp_path / "run"
    np.testing.assert_array_equal(_samples(first / "export/1"), _samples(again / "export/1"))
    assert (first / "progress.gif").read_bytes() == (again / "progress.gif").read_bytes()
    assert (again / "export/1/model.json").read_text() == (
        first / "export/1/model.json"
    ).read_text()


def test_output_gets_model_and_animation_and_the_run_stays_as_it_is(trained, tmp_path):
    before = _everything_in(trained.directory)
    output = tmp_path / "new" / "place"
    saved_model = export_run.export_from_checkpoint(str(trained.directory), str(output))
    assert saved_model == output / "1"
    assert sorted(path.name for path in output.iterdir()) == ["1", "progress.gif"]
    np.testing.assert_array_equal(_samples(saved_model), _samples(trained.directory / "export/1"))
    assert _everything_in(trained.directory) == before


def test_output_that_holds_a_model_is_refused_and_left_as_it_is(trained, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mine").write_text("mine")
    with pytest.raises(UserError, match="1 exists; choose another directory"):
        export_run.export_from_checkpoint(str(trained.directory), str(tmp_path))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


@pytest.mark.slow
def test_of_two_exports_at_once_to_one_place_one_is_refused(trained, tmp_path):
    def export(_):
        return run_script(
            "export.py", f"--run_dir={trained.directory}", "--output=new", cwd=tmp_path
        )

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(export, range(2)))
    assert sorted(process.returncode for process in done) == [0, 1]
    (told,) = [process.stderr for process in done if process.returncode]
    assert told.startswith("error: new/") and told.endswith("exists; choose another directory.\n")
    assert told.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["1", "progress.gif"]
    assert _samples(tmp_path / "new" / "1").shape == (4, 28, 28, 1)


def test_animation_that_is_already_in_the_output_is_not_lost(trained, tmp_path):
    (tmp_path / "progress.gif").write_text("mine")
    with pytest.raises(UserError, match="exists"):
        export_run.export_from_checkpoint(str(trained.directory), str(tmp_path))
    assert (tmp_path / "progress.gif").read_text() == "mine"


def test_output_below_a_file_is_refused(trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be written"):
        export_run.export_from_checkpoint(str(trained.directory), str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


# Training under other conditions


def test_finished_run_is_not_overwritten(trained):
    before = _everything_in(trained.directory)
    done = run_script("train.py", *trained.arguments, cwd=trained.place)
    assert done.returncode == 1
    assert done.stderr == (
        "error: --run_dir=run: already holds a run; choose another, or --resume it.\n"
    )
    assert _everything_in(trained.directory) == before


@pytest.mark.slow
def test_three_latent_dimensions_train_without_a_manifold(tmp_path, small_npz, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.create(
        "tutorial",
        data_path=str(small_npz),
        latent_dim=3,
        epochs=1,
        batch_size=64,
        network="mlp",
        hidden="8",
    )
    run = workflows.train(config)
    assert not (run.directory / "manifold.png").exists()
    assert (run.directory / "latents.png").exists()
    assert Path("runs/latest").resolve() == run.directory.resolve()
    loaded = tf.saved_model.load(str(export_run.export_from_checkpoint("runs/latest")))
    assert loaded.decode(tf.zeros([1, 3]))["images"].shape == (1, 28, 28, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "resnet"}, "--network=resnet: unknown"),
        ({"epoch": 3}, "epoch: is no setting; there are activation, augment, background, "),
        ({"run_dir": "~nobody-at-all/x"}, "there is no such home directory"),
    ],
)
def test_refused_trainings_leave_nothing(tmp_path, small_npz, settings, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        workflows.train(data_path=small_npz, **settings)
    assert list(tmp_path.iterdir()) == []


def test_images_that_the_network_cannot_take_are_refused_and_leave_nothing(tmp_path):
    path = tmp_path / "large.npz"
    np.savez(path, x_train=np.random.default_rng(0).integers(0, 256, (9, 32, 32), np.uint8))
    with pytest.raises(UserError, match="28 x 28 pixels with 1 channel; these images are 32 x 32"):
        workflows.train(
            Config.create("tutorial", data_path=str(path), batch_size=4), str(tmp_path / "run")
        )
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def evaluated(trained):
    done = run_script(
        "evaluate.py",
        "--run_dir=run",
        "--importance_samples=1,20",
        "--measures=likelihood",
        "--refine=3",
        cwd=trained.place,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_a_run_is_evaluated(trained, evaluated):
    report = json.loads((trained.directory / "evaluation.json").read_text())
    elbo = next(number for number in report["numbers"] if number["quantity"] == "ELBO")
    own = float(trained.metrics[-1]["test_elbo"])
    assert (elbo["images"], elbo["refine"]) == (32, 3)
    assert abs(elbo["nats_per_image"] - own) < 3 * elbo["standard_error"]
    assert "log p(x), exact" in evaluated.stdout and evaluated.stderr == ""
    for name in ("evaluation.png", "evaluation_posterior.png"):
        assert (trained.directory / name).stat().st_size > 10_000


@pytest.mark.slow
def test_an_exported_model_has_the_numbers_of_its_run(trained, evaluated):
    done = run_script(
        "evaluate.py", "--saved_model=run/export/1", "--importance_samples=1,20",
        "--measures=likelihood", "--refine=3", "--output=exported.json", cwd=trained.place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reports = [
        json.loads((trained.place / name).read_text())["numbers"]
        for name in ("run/evaluation.json", "exported.json")
    ]
    for own, exported in zip(*reports, strict=True):
        assert own["quantity"] == exported["quantity"]
        assert own["nats_per_image"] == pytest.approx(exported["nats_per_image"], abs=2e-3)


def test_unusual_images_are_marked(trained, small_npz, tmp_path):
    done = run_script(
        "generate.py", f"--run_dir={trained.directory}", "--mode=anomalies", "--refine=5",
        "--false_alarms=0.1", f"--data_path={small_npz}", "--output=marked", cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "images are marked" in done.stdout
    table = (tmp_path / "marked" / "anomalies.csv").read_text()
    assert table.startswith("name,refined_elbo_nats,p_value,marked\n")


# Calls a command as its script does, once for each list of arguments.
_CALLS = """
import json, sys
from absl import flags
sys.path.insert(0, sys.argv[1])
from cvae_tf import cli
from cvae_tf.commands import evaluate

evaluate.define_flags()
for arguments in json.loads(sys.argv[2]):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    left = flags.FLAGS(["evaluate.py", *arguments])
    try:
        cli.call_for_people(evaluate.main, left)
    except SystemExit as end:
        print(repr(end.code))
"""
_WRONG = [
    (["--run_dir=nowhere"], "holds no run"),
    (["--run_dir=a", "--saved_model=b"], "one of the two"),
    (["--saved_model=nowhere"], "holds no SavedModel"),
    (["--importance_samples=0"], "--importance_samples=0"),
    (["--output=numbers.txt"], "must end in .json"),
    (["true"], "unexpected argument 'true'"),
]


def test_wrong_evaluations_end_in_one_line(tmp_path):
    wrong = json.dumps([arguments for arguments, _ in _WRONG])
    done = run_python("-c", _CALLS, PROJECT, wrong, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for (_, message), line in zip(_WRONG, done.stdout.splitlines(), strict=True):
        assert line[1:].startswith("error: ") and message in line and "\\n" not in line
    assert list(tmp_path.iterdir()) == []
