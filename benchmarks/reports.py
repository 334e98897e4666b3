"""What a benchmark leaves behind: its results for programs and for people."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_report(folder: Path, name: str, results: Any, as_table: Callable[[Any], str]) -> None:
    """Writes results as NAME.json, and as Markdown, which is also printed, as NAME.md.

    Args:
        folder: where to; it is made.
        name: of the benchmark.
        results: what was measured.
        as_table: makes Markdown of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    table = as_table(results)
    (folder / f"{name}.md").write_text(table)
    print(table)
