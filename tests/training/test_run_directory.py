import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import create_run, names_in

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import with_classes
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.training import run_directory

CONFIG = Config.create(seed=4, latent_dim=3)


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(toy_dataset):
    return create_run("here", CONFIG, toy_dataset)


def _everything_in(directory):
    return {path: path.is_file() and path.read_bytes() for path in Path(directory).rglob("*")}


def test_new_run_says_what_it_is_and_comes_back(toy_dataset):
    dataset = toy_dataset._replace(class_names=("cat", "sea horse"))
    create_run("new/and/deep", CONFIG, dataset)
    contents = json.loads(Path("new/and/deep/config.json").read_text())
    assert contents["config"] == CONFIG.to_json()
    assert contents["data"] == {
        "name": "toy", "origin": "Invented.", "image_shape": [6, 6, 1], "pictures": None,
        "train_images": 40, "test_images": 20, "sha256": contents["data"]["sha256"],
        "key": None, "licence": toy_dataset.licence,
        "class_names": ["cat", "sea horse"], "class_counts": [],
        "margin_brightness": pytest.approx(margin_brightness(toy_dataset.train.images), abs=1e-4),
    }  # fmt: skip
    assert names_in("new/and/deep") == ["checkpoints", "config.json", "images"]
    again = run_directory.load_run("new/and/deep")
    assert (again.config, again.data["image_shape"]) == (CONFIG, (6, 6, 1))
    assert again.directory == Path("new/and/deep").resolve()


def test_other_labels_than_those_that_were_learned_are_refused(tiny_dataset):
    dataset = with_classes(tiny_dataset)
    run = create_run("here", Config.create(conditional=True), dataset)
    run_directory.check_labels(run, dataset)
    names = (*dataset.class_names[:-1], "another")
    turned = [part._replace(labels=part.labels[::-1]) for part in (dataset.train, dataset.test)]
    for others in ({"train": turned[0]}, {"test": turned[1]}, {"class_names": names}):
        with pytest.raises(UserError, match="the labels are not those of the training"):
            run_directory.check_labels(run, dataset._replace(**others))


def test_a_run_records_more_epochs_and_that_its_images_are_elsewhere(run, toy_dataset):
    config = CONFIG.extended({"epochs": 20})
    again = run_directory.changed(run, config, toy_dataset._replace(origin="Elsewhere."))
    assert again.data["origin"] == "Invented."  # they are where they were
    config = Config.create(seed=4, latent_dim=3, epochs=20, data_path="/new/x.npz")
    run_directory.changed(again, config, toy_dataset._replace(origin="Elsewhere."))
    found = run_directory.load_run("here")
    assert (found.config, found.data["origin"]) == (config, "Elsewhere.")
    assert found.data["sha256"] == run.data["sha256"]


REFUSED = {
    "here": "--run_dir=here: already holds a run",
    "thesis": "--run_dir=thesis: is not empty",
    "file/below": "--run_dir=file/below: cannot be written",
    "runs/latest": "--run_dir=runs/latest: this name is kept",
    "": "An empty path was given",
}


@pytest.mark.parametrize(("directory", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_a_place_that_is_taken_or_cannot_be_had_is_refused_and_stays(
    run, toy_dataset, directory, message
):
    Path("thesis").mkdir()
    Path("thesis/chapter_1.tex").write_text("It was")
    Path("file").write_text("mine")
    before = _everything_in(".")
    with pytest.raises(UserError, match=message):
        create_run(directory, Config.create(), toy_dataset)
    assert _everything_in(".") == before


def _twenty_at_once(make):
    """What twenty threads return that call a function with their number."""
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(make, range(20)))


def test_twenty_at_once_make_twenty_runs(toy_dataset):
    made = _twenty_at_once(lambda seed: create_run(None, Config.create(seed=seed), toy_dataset))
    found = [run_directory.load_run(run.directory).config.seed for run in made]
    assert found == list(range(20))
    assert "latest" not in names_in("runs")  # before there is something to use


def test_of_twenty_at_once_one_gets_a_directory_by_its_name(toy_dataset):
    """It is locked from the beginning, until its training ends."""
    all_tried = threading.Barrier(20)

    def make(seed):
        try:
            with run_directory.new_run("new", Config.create(seed=seed), toy_dataset):
                all_tried.wait()
                return seed
        except UserError as error:
            all_tried.wait()
            return str(error)

    found = set(_twenty_at_once(make))
    (winner,) = (seed for seed in found if isinstance(seed, int))
    run = run_directory.load_run("new")
    assert run.config.seed == winner
    assert found == {winner, "--run_dir=new: another process is using it."}
    assert names_in("new") == ["checkpoints", "config.json", "images"]
    with run_directory.locked(run):
        pass


DATA = {"image_shape": [6, 6, 1], "train_images": 40, "sha256": ""}
BROKEN = ["{", "[]", {"data": DATA}] + [
    {"config": {**CONFIG.to_json(), **settings}, "data": {**DATA, **data}}
    for settings, data in (
        ({}, {"image_shape": [6, 6]}),
        ({"momentum": 0.5}, {}),
    )
]


@pytest.mark.parametrize("contents", BROKEN)
def test_broken_config_is_refused_by_name(contents):
    text = contents if isinstance(contents, str) else json.dumps(contents)
    Path("config.json").write_text(text)
    with pytest.raises(UserError, match=r"config.json: "):
        run_directory.load_run(".")
