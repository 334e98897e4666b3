"""Forty faults put into the code by hand, one at a time: does a test catch each of them?

    python benchmarks/faults.py --check
    python benchmarks/faults.py --only=1-20 --suites=rooms,quick
    python benchmarks/faults.py

Puts a fault into a copy of the project, and runs the quick tests of the rooms concerned; if none
fails, all quick tests; if none fails, the slow ones. Then the copy is thrown away. Writes
faults.json and faults.md beside this file, and keeps what they say of faults that were not tried
now. The faults were chosen by what matters to users, not by the tests.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from shared import PROJECT

HERE = Path(__file__).parent
CORES = 2  # for tests
LONGEST_SECONDS = 3600  # of one suite; a longer one hangs, which counts as caught


class Fault(NamedTuple):
    """A change of the code, at one place, that somebody would feel."""

    name: str  # what is wrong then
    file: str  # in cvae_tf/
    old: str  # which is there once
    new: str
    rooms: str  # folders or files in tests/, with spaces between

    @property
    def paths(self) -> list[str]:
        """Where the tests of the rooms are, from the project's folder."""
        return [f"tests/{room}" for room in self.rooms.split()]

    def broken(self, project: Path) -> str:
        """The file in a copy of the project, with the fault; ends the program if that cannot be."""
        source = (project / "cvae_tf" / self.file).read_text(encoding="utf-8")
        if source.count(self.old) != 1:
            sys.exit(f"{self.file}: has {source.count(self.old)} times: {self.old}")
        broken = source.replace(self.old, self.new)
        compile(broken, self.file, "exec")
        return broken


FAULTS = (
    Fault("training is rewarded for a large KL", "models/vae/objectives.py",
          "terms.log_likelihood - beta * kl", "terms.log_likelihood + beta * kl", "models"),
    Fault("iwae climbs the mean of the logarithms, which is the ELBO", "models/vae/objectives.py",
          "tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(num_samples)",
          "tf.reduce_mean(log_weights, axis=0)", "models"),
    Fault("white lacks what lies above level 255", "models/vae/levels.py",
          "tf.clip_by_value(_HIGHEST - level, 0, 1)", "tf.ones_like(level)", "models"),
    Fault("each training step draws the same noise", "models/vae/model.py",
          "Purpose.TRAINING_NOISE, step)", "Purpose.TRAINING_NOISE)", "models"),
    Fault("pixels are white above 0.6, not above 0.5", "models/vae/likelihoods.py",
          "ops.greater(grey, 0.5)", "ops.greater(grey, 0.6)", "models"),
    Fault("reconstructions are of a sample, not of the mean", "models/vae/model.py",
          "return self.decode(self.encode(images, labels).mean, labels)",
          "latents = self.encode(images, labels).sample(1.0)\n"
          "        return self.decode(latents, labels)", "models exporting"),
    Fault("refined posteriors leave the prior out, and are too wide", "models/vae/refinement.py",
          "curvature + tf.eye(dim,", "curvature + 1e-6 * tf.eye(dim,", "models"),
    Fault("the most unusual image gets a p-value of 0", "models/vae/anomalies.py",
          "tf.cast(1 + lower, tf.float32)", "tf.cast(lower, tf.float32)", "models"),
    Fault("initial weights do not depend on the seed", "core/randomness.py",
          "{seed}/{network}/", "{network}/", "core models test_golden_values.py"),
    Fault("the discriminator takes real images for drawn ones", "models/gan/model.py",
          "losses = self.recipe.terms.of(*logits)",
          "losses = self.recipe.terms.of(*logits[::-1])", "models"),
    Fault("a seed gives the noise of the next seed", "core/randomness.py",
          "stack([seed, number])", "stack([seed + 1, number])", "core test_golden_values.py"),
    Fault("two replicas take steps twice as long", "core/replicas.py",
          "gradients = means([tf.convert_to_tensor(gradient) for gradient in gradients])",
          "gradients = [count() * each for each in means(list(gradients))]", "core training"),
    Fault("files are written in place: a full disk costs what was there", "core/files.py",
          "            yield temporary\n            _flush(temporary)\n"
          "            temporary.replace(path)\n", "            yield path\n", "core"),
    Fault("the learning rate has come down to 0 after the first epoch", "training/building.py",
          "total_steps=config.epochs * steps", "total_steps=steps", "training"),
    Fault("after a test, training goes on from the averages", "training/trainer.py",
          "            weight.assign(value)", "            pass", "training"),
    Fault("an epoch leaves its last full batch out", "data/batches.py",
          "num_images // effective_batch_size(num_images, batch_size)",
          "max(1, (num_images - 1) // effective_batch_size(num_images, batch_size))",
          "data training"),
    Fault("a resumed run has lost the second moments of Adam", "training/checkpoints.py",
          "        variable.assign(arrays[name])\n    return progress",
          "        if 'velocity' not in name:\n            variable.assign(arrays[name])\n"
          "    return progress", "training"),
    Fault("half of a checkpoint can be left by a kill", "training/checkpoints.py",
          "    with files.replacing_directory(path) as temporary:",
          "    path.mkdir(parents=True, exist_ok=True)\n    for temporary in [path]:", "training"),
    Fault("a damaged checkpoint ends the resume, though older ones are good",
          "training/checkpoints.py", "problems.append(str(error))", "raise", "training"),
    Fault("a resumed run takes its last step once more", "training/run_training.py",
          "now[0] - len(rows) * self._steps_per_epoch",
          "max(now[0] - len(rows) * self._steps_per_epoch - 1, 0)", "training"),
    Fault("early stopping waits an epoch too many", "training/run_training.py",
          '["epoch"] >= patience', '["epoch"] > patience', "training"),
    Fault("a new run is written over one that is there", "training/run_directory.py",
          "            _refuse_full(run.directory)", "            pass", "training"),
    Fault("two processes may train in one run at once", "core/files.py",
          "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "training"),
    Fault("the test ELBO is a mean over batches, not over images", "training/trainer.py",
          "            return start + stride, sums + tf.reduce_sum(tf.stack(every), axis=1)",
          "            num = tf.shape(images)[0]\n"
          "            own = num / -(-num // stride)\n"
          "            return start + stride, sums + own * tf.reduce_mean(tf.stack(every), axis=1)",
          "training"),
    Fault("test images from the disk get other noise than in memory", "training/trainer.py",
          "of_class, first + start)", "of_class, start)", "training"),
    Fault("images are learned with the labels of their neighbours", "training/trainer.py",
          "tf.gather(labels, indices)", "tf.gather(labels, tf.roll(indices, 1, 0))", "training"),
    Fault("a run that SIGTERM ends loses what it had trained", "training/signals.py",
          "(signal.SIGINT, signal.SIGTERM)", "(signal.SIGINT,)", "training"),
    Fault("photographs of a turned camera lie on their side", "data/pictures.py",
          "ImageOps.exif_transpose(image, in_place=True)", "pass", "data"),
    Fault("a folder valid/ beside train/ becomes a class", "data/folder.py",
          '"val valid validation', '"val validation', "data"),
    Fault("pictures of 12 bits in 16 are four times too dark", "data/picture_store.py",
          "(255, 1023, 4095, 16383)", "(255, 1023, 16383)", "data"),
    Fault("the images held out for testing are learned from, too", "data/datasets.py",
          "take(order[~np.isin(order, held_out)])", "take(order)", "data"),
    Fault("heat maps do not know what is usual", "models/vae/anomalies.py",
          "tf.nn.relu(found - tf.convert_to_tensor(self._limit))", "tf.nn.relu(found)", "models"),
    Fault("the exact log p(x) takes tiles for lines", "inference/exact_log_px.py",
          "log_mass + latent_dim * np.log(tiles", "log_mass + np.log(tiles",
          "inference"),
    Fault("the means' distance is not squared in Frechet's", "distances.py",
          "np.sum((first.mean - second.mean) ** 2)",
          "np.linalg.norm(first.mean - second.mean)", "test_distances.py"),
    Fault("exported models draw the first class for any label", "models/saved_model.py",
          "_at_least_one(labels[0])", "_at_least_one(0 * labels[0])", "exporting models"),
    Fault("a model does not know its white level, and reads pictures too dark",
          "training/run_directory.py", "dataset.form._asdict() if",
          "dataset.form._replace(deep_white_level=None)._asdict() if", "data exporting"),
    Fault("an interpolation stops before its end", "generation/modes.py",
          "end[0], steps, dtype", "end[0], steps, False, dtype", "generation"),
    Fault("reconstructions stand where the originals should", "drawing/mosaics.py",
          "*shape) for each in sets]", "*shape) for each in sets[::-1]]", "drawing generation"),
    Fault("names of the user's become HTML of the page", "reporting/page.py",
          "autoescape=True", "autoescape=False", "reporting"),
    Fault("a flag of 0 or false, such as --augment=0, does nothing", "core/settings.py",
          "for name, value in values.items() if name in names}",
          "for name, value in values.items() if name in names and value}", "test_cli.py"),
    Fault("a command that failed ends with exit code 0", "cli.py",
          'sys.exit(f"error: {error}")', 'terminal.show(f"error: {error}\\n", sys.stderr)',
          "test_cli.py"),
)  # fmt: skip


def check() -> None:
    """Makes sure that each fault can be put in, and leaves a file that compiles."""
    for fault in FAULTS:
        fault.broken(PROJECT)
        if missing := [each for each in fault.paths if not (PROJECT / each).exists()]:
            sys.exit(f"{fault.name}: there is no {missing[0]}.")
    print(f"{len(FAULTS)} faults can be put in.")


def copy_project(to: Path) -> None:
    """Copies the files that git knows, as they are now in the checkout."""
    for name in filter(None, git("ls-files", "-z").split("\0")):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # removed, which is not committed yet
            shutil.copy2(PROJECT / name, to / name)


def git(*arguments: str) -> str:
    """Asks git about the project."""
    command = ["git", "-C", str(PROJECT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def try_fault(number: int, suites: list[str], processes: int) -> dict[str, Any]:
    """Puts a fault into a copy of the project, and runs suites there until a test fails."""
    fault, start = FAULTS[number - 1], time.monotonic()
    options = {"rooms": fault.paths, "quick": [], "slow": ["-m", "slow"]}
    with tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True) as place:
        copy = Path(place, "project")
        copy_project(copy)
        (copy / "cvae_tf" / fault.file).write_text(fault.broken(copy), encoding="utf-8")
        for suite in suites:
            caught_by = run_tests(copy, [*options[suite], f"--numprocesses={processes}"])
            if caught_by:
                break
    seconds = round(time.monotonic() - start)
    print(f"{number:2} {fault.name}: {caught_by} ({suite}, {seconds} s)", flush=True)
    found = {"caught_by": caught_by, "suite": suite, "seconds": seconds}
    commit = git("rev-parse", "--short", "HEAD").strip()
    return {"number": number, "fault": fault.name, "file": fault.file, **found, "commit": commit}


def run_tests(copy: Path, options: list[str]) -> str | None:
    """Runs tests of a copy of the project up to the first failure.

    Returns:
        The test that failed, "no end" if they went on for too long, or None if all passed.

    Raises:
        RuntimeError: if no test ran.
    """
    # What a fault leaves in a cache must not be found by the next one.
    place = {"TMPDIR": str(copy.parent), "KERAS_HOME": str(copy.parent / "keras")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", *options],
        cwd=copy,
        env={**os.environ, **place, "PYTHONPATH": str(copy), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        return "no end"
    finally:  # of its workers, too
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    if failed or process.returncode == 0:
        return failed and failed[1]
    raise RuntimeError(f"pytest {' '.join(options)} ended strangely:\n{output[-2000:]}")


def as_table(rows: list[dict[str, Any]]) -> str:
    """Writes a row for each fault, below how many were caught."""
    caught = [row["suite"] for row in rows if row["caught_by"]]
    lines = [
        f"{len(caught)} of {len(rows)} faults were caught, {len(caught) - caught.count('slow')} of "
        f"them by quick tests (commit {', '.join(sorted({row['commit'] for row in rows}))}).",
        "",
        "| | fault | file in cvae_tf/ | caught by | suite |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        by = f"`{row['caught_by']}`" if row["caught_by"] else "**nothing**"
        cells = f"{row['number']} | {row['fault']} | `{row['file']}` | {by} | {row['suite']}"
        lines.append(f"| {cells} |")
    return "\n".join(lines) + "\n"


def numbers_of(text: str) -> list[int]:
    """Reads "3,7" or "1-20" as numbers of faults."""
    ends = [part.partition("-") for part in text.split(",")]
    numbers = [n for first, _, last in ends for n in range(int(first), int(last or first) + 1)]
    if not set(numbers) <= set(range(1, len(FAULTS) + 1)):
        sys.exit(f"--only={text}: faults are numbered from 1 to {len(FAULTS)}.")
    return numbers


def main() -> None:
    """Tries the faults that were asked for, and writes the table of all that were ever tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only see whether they can be put in")
    parser.add_argument("--only", default=f"1-{len(FAULTS)}", help="such as 3,7 or 1-20")
    parser.add_argument("--suites", default="rooms,quick,slow", help="how far to go")
    parser.add_argument("--at_once", type=int, default=1, help="faults side by side")
    arguments = parser.parse_args()
    numbers, suites = numbers_of(arguments.only), arguments.suites.split(",")
    check()
    if arguments.check:
        return
    file = HERE / "faults.json"
    rows = {row["number"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    processes = max(CORES // arguments.at_once, 1)
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for row in pool.map(lambda number: try_fault(number, suites, processes), numbers):
            rows[row["number"]] = row
            ordered = [rows[number] for number in sorted(rows)]
            file.write_text(json.dumps(ordered, indent=1) + "\n")
            file.with_suffix(".md").write_text(as_table(ordered))
    sys.exit(any(rows[number]["caught_by"] is None for number in numbers))


if __name__ == "__main__":
    main()
