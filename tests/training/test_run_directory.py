import csv
import json
import os
from pathlib import Path

import pytest

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.training import run_directory

CONFIG = Config.create(seed=4, latent_dim=3)
ROWS = [{"epoch": 1, "step": 5, "test_elbo": -9.25}, {"epoch": 2, "step": 10, "test_elbo": -8.5}]


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(toy_dataset):
    return run_directory.create_run("here", CONFIG, toy_dataset)


def _everything_in(directory):
    return {path: path.read_bytes() for path in Path(directory).rglob("*") if path.is_file()}


def _names(directory):
    return sorted(path.name for path in Path(directory).iterdir())


# Making and finding runs


def test_new_run_says_what_it_is(run):
    contents = json.loads(Path("here/config.json").read_text())
    assert contents["config"] == CONFIG.to_json()
    assert contents["data"] == {
        "name": "toy", "origin": "Invented.", "image_shape": [6, 6, 1],
        "train_images": 40, "test_images": 20, "sha256": contents["data"]["sha256"],
    }  # fmt: skip
    assert _names("here") == ["checkpoints", "config.json", "images"]


def test_run_comes_back_as_it_was_made(run):
    again = run_directory.load_run("here")
    assert (again.config, again.data["image_shape"]) == (CONFIG, (6, 6, 1))
    assert again.directory == Path("here").resolve()


@pytest.mark.parametrize("directory", ["empty", "new/and/deep"])
def test_empty_and_new_directories_are_taken(toy_dataset, directory):
    Path("empty").mkdir()
    run_directory.create_run(directory, CONFIG, toy_dataset)
    assert run_directory.load_run(directory).config == CONFIG


def test_directory_that_holds_a_run_is_refused_and_left_as_it_is(run, toy_dataset):
    before = _everything_in("here")
    with pytest.raises(UserError, match="--run_dir=here: already holds a run"):
        run_directory.create_run("here", Config.create(), toy_dataset)
    assert _everything_in("here") == before


def test_directory_with_other_files_is_refused_and_left_as_it_is(toy_dataset):
    Path("thesis").mkdir()
    Path("thesis/chapter_1.tex").write_text("It was")
    with pytest.raises(UserError, match="--run_dir=thesis: is not empty"):
        run_directory.create_run("thesis", CONFIG, toy_dataset)
    assert _names("thesis") == ["chapter_1.tex"]


@pytest.mark.parametrize("directory", ["file", "file/below", "a" * 300])
def test_places_where_no_directory_can_be_are_refused(toy_dataset, directory):
    Path("file").write_text("mine")
    with pytest.raises(UserError, match=f"--run_dir={directory}: cannot be written"):
        run_directory.create_run(directory, CONFIG, toy_dataset)
    assert Path("file").read_text() == "mine"


def test_runs_without_a_name_get_new_ones_and_latest_is_the_newest(toy_dataset):
    made = [run_directory.create_run(None, CONFIG, toy_dataset).directory for _ in range(3)]
    assert len(set(made)) == 3 and all(path.parent == Path("runs") for path in made)
    assert Path("runs/latest").resolve() == made[-1].resolve()
    assert run_directory.load_run("runs/latest").directory == made[-1].resolve()
    assert len(_names("runs")) == 4


def test_latest_is_a_relative_link_so_that_runs_can_be_moved(toy_dataset):
    run_directory.create_run("runs/first", CONFIG, toy_dataset)
    assert os.readlink("runs/latest") == "first"  # noqa: PTH115


def test_only_runs_in_runs_become_the_latest(toy_dataset):
    run_directory.create_run("runs/first", CONFIG, toy_dataset)
    run_directory.create_run("elsewhere/second", CONFIG, toy_dataset)
    assert Path("runs/latest").resolve().name == "first"
    assert _names("elsewhere") == ["second"]


def test_name_of_the_link_to_the_latest_run_is_refused(toy_dataset):
    with pytest.raises(UserError, match="--run_dir=runs/latest: this name is kept"):
        run_directory.create_run("runs/latest", CONFIG, toy_dataset)
    assert not Path("runs").exists()


@pytest.mark.parametrize("directory", ["nowhere", "empty", "file"])
def test_directory_without_a_run_is_refused(directory):
    Path("empty").mkdir()
    Path("file").touch()
    with pytest.raises(UserError, match=f"--run_dir={directory}: holds no run"):
        run_directory.load_run(directory)


GOOD = {
    "config": CONFIG.to_json(),
    "data": {"image_shape": [6, 6, 1], "train_images": 40, "sha256": ""},
}
BROKEN = {
    "no JSON": "{",
    "empty": "",
    "list": "[]",
    "no config": json.dumps({"data": GOOD["data"]}),
    "no data": json.dumps({"config": GOOD["config"]}),
    "no shape": json.dumps({**GOOD, "data": {}}),
    "flat shape": json.dumps({**GOOD, "data": {**GOOD["data"], "image_shape": [6, 6]}}),
    "shape of words": json.dumps({**GOOD, "data": {"image_shape": ["a", "b", "c"]}}),
    "bad setting": json.dumps({**GOOD, "config": {**GOOD["config"], "epochs": 0}}),
    "other version": json.dumps({**GOOD, "config": {**GOOD["config"], "dropout": 0.5}}),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_config_is_refused_by_name(text):
    Path("broken").mkdir()
    Path("broken/config.json").write_text(text)
    with pytest.raises(UserError, match=r"broken/config.json: "):
        run_directory.load_run("broken")


# Metrics and pictures


def test_metrics_are_a_header_and_a_row_for_each_epoch(run):
    for num in (1, 2):
        run_directory.write_metrics(run, ROWS[:num])
        with Path("here/metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [{name: float(value) for name, value in row.items()} for row in rows] == ROWS[:num]
    assert Path("here/metrics.csv").read_text().splitlines()[0] == "epoch,step,test_elbo"


def test_epoch_pictures_are_ordered_by_number(run):
    for epoch in (10_000, 2, 0, 10):
        (run.images / f"image_at_epoch_{epoch:04d}.png").touch()
    (run.images / ".writing-1-image_at_epoch_0003.png").touch()
    numbers = [int(path.stem.split("_")[-1]) for path in run.epoch_images]
    assert numbers == [0, 2, 10, 10_000]
