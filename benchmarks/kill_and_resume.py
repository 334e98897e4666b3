"""Proof that a run survives: kills, damaged files, failing writes, each followed by a resume.

    python benchmarks/kill_and_resume.py --kills 200 --damages 200

Trains a small run once without disturbance, then again and again with one, resumes it until it
ends, and counts the runs that are bit-identical to the first: weights and optimizer state,
metrics (their timings aside), pictures, the variables of the SavedModel. Writes kill_and_resume.md
beside this file.
"""

import argparse
import collections
import contextlib
import errno
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shared  # noqa: F401  (puts the project on the path)
import tensorflow as tf

from cvae_tf import api
from cvae_tf.config import Config
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import load_npz
from cvae_tf.training import checkpoints

HERE = Path(__file__).parent
EVERY = 1  # step
TIMINGS = ("train_seconds", "test_seconds", "images_per_second")
AT_ONCE = 2
LONGEST_SECONDS = 120  # of one process; a longer one hangs


def begin_or_go_on(config: Config, run_dir: Path) -> None:
    """Does what a user would do: train, or resume if there is a run already."""
    if (run_dir / "config.json").exists():
        api.resume(run_dir, checkpoint_every=EVERY)
    else:
        api.train(config, run_dir, checkpoint_every=EVERY)


def in_a_process(work: Callable[[], None], seconds: float = LONGEST_SECONDS) -> str:
    """Runs `work` in a forked process, which is killed after some seconds.

    Forking spares the seconds of importing TensorFlow, which nothing has used yet.

    Returns:
        "finished", "killed", or what was wrong.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _work_and_exit(work, write)
    os.close(write)
    deadline = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(read)
            return "killed"
        time.sleep(0.005)
    with os.fdopen(read) as pipe:
        return pipe.read() or "crashed"


def _work_and_exit(work: Callable[[], None], write: int) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    try:
        work()
        said = "finished"
    except UserError as error:
        said = f"refused: {error}"
    except BaseException as error:
        said = f"crashed: {type(error).__name__}: {error}"
    os.write(write, said.encode()[:4000])
    os._exit(0)


def fingerprint(run_dir: Path) -> dict[str, Any]:
    """What must be the same in every run: hashes by name."""
    newest = checkpoints.list_checkpoints(run_dir / "checkpoints")[-1]
    with np.load(newest / "state.npz", allow_pickle=False) as arrays:
        prints = {name: _sha256(arrays[name].tobytes()) for name in arrays if name != "state"}
        progress = json.loads(arrays["state"].tobytes())
    for row in progress["metrics"]:
        for timing in TIMINGS:
            del row[timing]
    prints["progress"] = progress
    rows = [line.split(",")[:-3] for line in (run_dir / "metrics.csv").read_text().splitlines()]
    prints["metrics.csv"] = rows
    exported = tf.train.load_checkpoint(str(run_dir / "export" / "1" / "variables" / "variables"))
    values = [
        exported.get_tensor(name)
        for name in exported.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    ]
    # Their order in the file differs from export to export.
    prints["export"] = sorted(_sha256(value.tobytes()) for value in values)
    for path in [*run_dir.rglob("*.png"), *run_dir.rglob("*.gif")]:
        prints[str(path.relative_to(run_dir))] = _sha256(path.read_bytes())
    return prints


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Trials:
    """The reference run, and the ways to disturb another one."""

    def __init__(self, directory: Path, epochs: int, images: int):
        self.directory = directory
        data_path = directory / "data.npz"
        rng = np.random.default_rng(0)
        pixels = (rng.random((images + 64, 28, 28)) < 0.3) * np.uint8(255)
        np.savez(data_path, x_train=pixels[:images], x_test=pixels[images:])
        load_npz(data_path)
        self.config = Config.create(data_path=str(data_path), epochs=epochs, batch_size=64)
        self.reference = directory / "reference"
        start = time.monotonic()
        said = in_a_process(lambda: begin_or_go_on(self.config, self.reference))
        if said != "finished":
            raise RuntimeError(f"the reference run: {said}")
        self.seconds = time.monotonic() - start
        self.expected = fingerprint(self.reference)

    def verdict(self, run_dir: Path) -> str:
        """Resumes a run to its end and compares it with the reference."""
        said = in_a_process(lambda: begin_or_go_on(self.config, run_dir))
        if said != "finished":
            return said
        same = fingerprint(run_dir) == self.expected
        shutil.rmtree(run_dir)
        return "identical" if same else "differs"

    def kill(self, number: int) -> str:
        """Kills a run at a random moment of its life, twice, then lets it end."""
        chance = random.Random(number)
        run_dir = self.directory / f"kill-{number}"
        for _ in range(2):
            in_a_process(
                lambda: begin_or_go_on(self.config, run_dir), chance.uniform(0, self.seconds)
            )
        return self.verdict(run_dir)

    def kill_while_writing(self, number: int) -> str:
        """Kills a run in the middle of one of its writes, then lets it end."""
        run_dir = self.directory / f"write-{number}"

        def work() -> None:
            fail_at(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
            begin_or_go_on(self.config, run_dir)

        in_a_process(work)
        return self.verdict(run_dir)

    def fail_to_write(self, number: int) -> str:
        """Lets one write of a run fail as on a full disk, then lets it end."""
        run_dir = self.directory / f"full-{number}"

        def full() -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def work() -> None:
            fail_at(number, full)
            begin_or_go_on(self.config, run_dir)

        said = in_a_process(work)
        if not (said.startswith("refused") and "No space left" in said):
            return f"the failing write was not reported: {said}"
        return self.verdict(run_dir)

    def damage(self, number: int) -> str:
        """Truncates, flips or removes a file of the newest checkpoints, then resumes."""
        chance = random.Random(number)
        run_dir = self.directory / f"damage-{number}"
        shutil.copytree(self.reference, run_dir)
        there = checkpoints.list_checkpoints(run_dir / "checkpoints")
        for checkpoint in there[-chance.randint(1, len(there) - 1) :]:
            damage_file(chance.choice(sorted(checkpoint.iterdir())), chance)
        return self.verdict(run_dir)


def damage_file(path: Path, chance: random.Random) -> None:
    """Does one of three bad things to a file."""
    content = bytearray(path.read_bytes())
    match chance.choice(("truncate", "flip", "remove")):
        case "truncate":
            path.write_bytes(content[: chance.randrange(len(content))])
        case "flip":
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
        case "remove":
            path.unlink()


def fail_at(number: int, misfortune: Callable[[], None]) -> None:
    """Arranges for something to happen just before bytes are flushed for the n-th time."""
    counter = itertools.count()
    flush = files._flush

    def counting(path: Path) -> None:
        if next(counter) == number:
            misfortune()
        flush(path)

    files._flush = counting


def count_flushes(trials: Trials) -> int:
    """Counts how often a run makes sure that something is on the disk."""
    mark = trials.directory / "flushes"

    def work() -> None:
        flush = files._flush

        def counting(path: Path) -> None:
            with mark.open("a") as file:
                file.write(".")
            flush(path)

        files._flush = counting
        begin_or_go_on(trials.config, trials.directory / "counted")

    in_a_process(work)
    return mark.stat().st_size


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument("--writes", type=int, help="try the first ones only (default: all)")
    parser.add_argument("--epochs", type=int, default=3, help="2 or more")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the table")
    arguments = parser.parse_args()
    lines = ["| disturbance | runs | bit-identical at the end | otherwise |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as directory:
        trials = Trials(Path(directory), arguments.epochs, arguments.images)
        writes = count_flushes(trials)
        if arguments.writes is not None:
            writes = min(writes, arguments.writes)
        kinds = {
            "SIGKILL, twice, at random moments": (trials.kill, arguments.kills),
            "SIGKILL in the middle of each write": (trials.kill_while_writing, writes),
            "each write failing (disk full)": (trials.fail_to_write, writes),
            "files of checkpoints damaged": (trials.damage, arguments.damages),
        }
        for name, (trial, count) in kinds.items():
            with multiprocessing.get_context("fork").Pool(AT_ONCE) as pool:
                verdicts = collections.Counter(pool.map(trial, range(count), chunksize=1))
            identical = verdicts.pop("identical", 0)
            others = "; ".join(f"{number} x {text}" for text, number in verdicts.items())
            lines.append(f"| {name} | {count} | {identical} | {others or '-'} |")
            print(lines[-1], flush=True)
    (arguments.output / "kill_and_resume.md").write_text("\n".join(lines) + "\n")
    sys.exit(any(not line.endswith("| - |") for line in lines[2:]))


if __name__ == "__main__":
    main()
