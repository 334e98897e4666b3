import csv
import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import PROJECT, create_run, run_python

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import margin_brightness
from cvae_tf.training import run_directory

CONFIG = Config.create(seed=4, latent_dim=3)
ROWS = [{"epoch": 1, "step": 5, "test_elbo": -9.25}, {"epoch": 2, "step": 10, "test_elbo": -8.5}]


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(toy_dataset):
    return create_run("here", CONFIG, toy_dataset)


def _everything_in(directory):
    return {path: path.read_bytes() for path in Path(directory).rglob("*") if path.is_file()}


def _names(directory):
    return sorted(path.name for path in Path(directory).iterdir())


# Making and finding runs


def test_new_run_says_what_it_is(run, toy_dataset):
    contents = json.loads(Path("here/config.json").read_text())
    assert contents["config"] == CONFIG.to_json()
    assert contents["data"] == {
        "name": "toy", "origin": "Invented.", "image_shape": [6, 6, 1], "pictures": None,
        "train_images": 40, "test_images": 20, "sha256": contents["data"]["sha256"],
        "key": None, "licence": toy_dataset.licence,
        "margin_brightness": pytest.approx(margin_brightness(toy_dataset.train.images), abs=1e-4),
    }  # fmt: skip
    assert _names("here") == ["checkpoints", "config.json", "images"]


def test_new_run_says_the_names_of_its_classes(toy_dataset):
    dataset = toy_dataset._replace(class_names=("cat", "sea horse"))
    run = create_run("named", CONFIG, dataset)
    assert json.loads(run.config_file.read_text())["data"]["class_names"] == ["cat", "sea horse"]
    assert run_directory.load_run("named").data["class_names"] == ["cat", "sea horse"]


def test_run_comes_back_as_it_was_made(run):
    again = run_directory.load_run("here")
    assert (again.config, again.data["image_shape"]) == (CONFIG, (6, 6, 1))
    assert again.directory == Path("here").resolve()


@pytest.mark.parametrize("directory", ["empty", "new/and/deep"])
def test_empty_and_new_directories_are_taken(toy_dataset, directory):
    Path("empty").mkdir()
    create_run(directory, CONFIG, toy_dataset)
    assert run_directory.load_run(directory).config == CONFIG


def test_directory_that_holds_a_run_is_refused_and_left_as_it_is(run, toy_dataset):
    before = _everything_in("here")
    with pytest.raises(UserError, match="--run_dir=here: already holds a run"):
        create_run("here", Config.create(), toy_dataset)
    assert _everything_in("here") == before


def test_directory_with_other_files_is_refused_and_left_as_it_is(toy_dataset):
    Path("thesis").mkdir()
    Path("thesis/chapter_1.tex").write_text("It was")
    with pytest.raises(UserError, match="--run_dir=thesis: is not empty"):
        create_run("thesis", CONFIG, toy_dataset)
    assert _names("thesis") == ["chapter_1.tex"]


@pytest.mark.parametrize("directory", ["file", "file/below", "a" * 300])
def test_places_where_no_directory_can_be_are_refused(toy_dataset, directory):
    Path("file").write_text("mine")
    with pytest.raises(UserError, match=f"--run_dir={directory}: cannot be written"):
        create_run(directory, CONFIG, toy_dataset)
    assert Path("file").read_text() == "mine"


def test_tilde_is_the_home_directory(toy_dataset, monkeypatch):
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    create_run("~/mine", CONFIG, toy_dataset)
    assert run_directory.load_run(Path("~/mine")).directory == Path("home/mine").resolve()
    assert _names(".") == ["home"]


# Many at the same time

_TOGETHER = """
import os, sys, time
sys.path[:0] = {paths!r}
from conftest import tiny_images
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import margin_brightness
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.training import run_directory

dataset = Dataset("toy", "Invented.", Split(tiny_images(4), None), Split(tiny_images(2), None))

def say(*parts):
    os.write(1, ("|".join(map(str, parts)) + "\\n").encode())  # whole lines, from all at once

def make(seed, directory):
    try:
        with run_directory.new_run(directory, Config.create(seed=seed), dataset) as run:
            say(directory, seed, run.directory.name)
            time.sleep(0.3)
    except UserError as error:
        say(directory, "", error)

os.mkdir("there")
for directory in (None, "new", "there"):
    start = time.time() + 0.5
    children = []
    for seed in range(20):
        child = os.fork()
        if not child:
            time.sleep(max(start - time.time(), 0))
            make(seed, directory)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
"""


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """What twenty processes said that started at once: runs without a name, and with the same."""
    place = tmp_path_factory.mktemp("twenty")
    paths = [str(PROJECT), str(PROJECT / "tests")]
    done = run_python("-c", _TOGETHER.format(paths=paths), cwd=place)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert len(lines) == 60
    return place, lines


@pytest.mark.slow
def test_twenty_processes_at_once_make_twenty_runs_of_their_own_settings(twenty):
    place, lines = twenty
    made = {int(seed): name for directory, seed, name in lines if directory == "None"}
    assert sorted(made) == list(range(20)) and len(set(made.values())) == 20
    for seed, name in made.items():
        assert run_directory.load_run(place / "runs" / name).config.seed == seed
    assert _names(place / "runs") == sorted(made.values())


@pytest.mark.parametrize("directory", ["new", "there"])
@pytest.mark.slow
def test_of_twenty_processes_one_gets_a_directory_by_its_name(twenty, directory):
    place, lines = twenty
    (winner,) = [int(seed) for name, seed, _ in lines if name == directory and seed]
    assert run_directory.load_run(place / directory).config.seed == winner
    errors = [text for name, seed, text in lines if name == directory and not seed]
    assert len(errors) == 19
    assert set(errors) <= {
        f"--run_dir={directory}: another process is using it.",
        f"--run_dir={directory}: already holds a run; choose another, or --resume it.",
    }
    assert _names(place / directory) == ["checkpoints", "config.json", "images"]


def test_twenty_threads_at_once_make_twenty_runs(toy_dataset):
    together = threading.Barrier(20)

    def make(seed):
        together.wait()
        return create_run(None, Config.create(seed=seed), toy_dataset).directory

    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(make, range(20)))
    assert [run_directory.load_run(path).config.seed for path in made] == list(range(20))


def test_new_run_is_locked_from_the_beginning(toy_dataset):
    with (
        run_directory.new_run("here", CONFIG, toy_dataset) as run,
        pytest.raises(UserError, match="--run_dir=here: another process is using it"),
        run_directory.locked(run),
    ):
        pass
    with run_directory.locked(run):
        pass


def test_file_system_without_locks_does_not_stop_a_run(toy_dataset, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EBADF, "no locks")

    monkeypatch.setattr(run_directory.fcntl, "flock", unsupported)
    assert create_run("here", CONFIG, toy_dataset).config == CONFIG


# The link to the newest run


def test_latest_is_a_relative_link_so_that_runs_can_be_moved(toy_dataset):
    for name in ("first", "second"):
        run_directory.point_latest_to(create_run(f"runs/{name}", CONFIG, toy_dataset))
        assert os.readlink("runs/latest") == name  # noqa: PTH115
    assert run_directory.load_run("runs/latest").directory == Path("runs/second").resolve()
    assert _names("runs") == ["first", "latest", "second"]


def test_latest_does_not_move_before_there_is_something_to_use(toy_dataset):
    create_run(None, CONFIG, toy_dataset)
    assert "latest" not in _names("runs")


def test_only_runs_in_runs_become_the_latest(toy_dataset):
    run_directory.point_latest_to(create_run("a/b", CONFIG, toy_dataset))
    assert _names(".") == ["a"] and _names("a") == ["b"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_latest_that_is_no_link_stays_and_stops_no_run(toy_dataset, capsys, kind):
    Path("runs").mkdir()
    if kind == "folder":
        Path("runs/latest").mkdir()
    Path("runs/latest/mine" if kind == "folder" else "runs/latest").write_text("mine")
    run = create_run("runs/first", CONFIG, toy_dataset)
    before = _everything_in("runs")
    run_directory.point_latest_to(run)
    assert _everything_in("runs") == before and _names("runs") == ["first", "latest"]
    told = capsys.readouterr().err
    assert told == (
        "warning: runs/latest cannot point to this run (it is no link); use --run_dir=runs/first.\n"
    )


def test_link_that_cannot_be_made_stops_no_run(toy_dataset, capsys, monkeypatch):
    def without_the_right(*_):
        raise OSError(errno.EPERM, "a required privilege is not held")

    run = create_run("runs/first", CONFIG, toy_dataset)
    monkeypatch.setattr(Path, "symlink_to", without_the_right)
    run_directory.point_latest_to(run)
    assert "(a required privilege is not held); use --run_dir=runs/first" in capsys.readouterr().err
    assert _names("runs") == ["first"]


def test_name_of_the_link_to_the_latest_run_is_refused(toy_dataset):
    with pytest.raises(UserError, match="--run_dir=runs/latest: this name is kept"):
        create_run("runs/latest", CONFIG, toy_dataset)
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


@pytest.mark.parametrize("name", ["run\udcff", "\udcff/run"])
def test_a_directory_that_tensorflow_could_not_write_to_is_refused(tmp_path, toy_dataset, name):
    """Or the model would be lost at the end of the training."""
    with pytest.raises(UserError, match="cannot be written in UTF-8; choose another name"):
        create_run(tmp_path / name, Config.create(), toy_dataset)
    assert list(tmp_path.iterdir()) == []


def test_no_directory_is_not_an_empty_one(tmp_path, toy_dataset, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="An empty path was given"):
        create_run("", Config.create(), toy_dataset)
    assert list(tmp_path.iterdir()) == []
