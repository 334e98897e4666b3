"""The data of a benchmark, and a folder that keeps what was trained and measured."""

import functools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from processes import PROJECT, run_process


class Bench:
    """Trains and measures what was not trained and measured before."""

    def __init__(self, data_path: Path, work: Path):
        self.data_path, self.work = data_path.absolute(), work
        work.mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def data(self) -> dict[str, np.ndarray]:
        """The arrays of the .npz."""
        with np.load(self.data_path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def trained(self, name: str, flags: list[str], data_path: Path | None = None) -> Path:
        """Trains a run unless it is there, and returns its directory.

        Raises:
            RuntimeError: if there is one that was trained by other flags.
        """
        run_dir = self.work / name.replace(", ", "_")
        record = run_dir.with_suffix(".run.json")
        if record.exists():
            known = json.loads(record.read_text())["flags"]
            if known != flags:
                raise RuntimeError(f"{run_dir} was trained by {known}; remove it and {record}.")
            return run_dir
        if run_dir.exists():
            shutil.rmtree(run_dir)  # was broken off
        command = [str(PROJECT / "train.py"), f"--run_dir={run_dir}", *flags]
        start = time.perf_counter()
        run_process([*command, f"--data_path={data_path or self.data_path}"])
        seconds = round(time.perf_counter() - start)
        record.write_text(json.dumps({"flags": flags, "seconds": seconds}))
        return run_dir

    def written(self, name: str, **arrays: np.ndarray) -> Path:
        """Writes an .npz to train on, unless it is there."""
        path = self.work / f"{name}.npz"
        if not path.exists():
            temporary = path.with_name(f"part_{path.name}")
            np.savez_compressed(temporary, **arrays)
            temporary.rename(path)
        return path

    def seconds(self, run_dir: Path) -> float:
        """Wall time of the training command."""
        return json.loads(run_dir.with_suffix(".run.json").read_text())["seconds"]

    def kept(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measures something unless it was measured before."""
        path = self.work / f"{name}.json"
        if not path.exists():
            result = measure()
            path.write_text(json.dumps(result, indent=1))
            print(name, result, flush=True)
        return json.loads(path.read_text())
