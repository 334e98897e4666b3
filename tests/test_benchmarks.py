"""The programs in benchmarks/ take hours, so here their names alone are tried."""

import ast
import importlib

import pytest
from conftest import PROJECT

PROGRAMS = sorted((PROJECT / "benchmarks").glob("*.py"))


def _missing(source):
    """Names that are taken from modules of the package, and are not there."""
    tree, modules = ast.parse(source), {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("cvae_tf"):
            continue
        home = importlib.import_module(node.module)
        for alias in node.names:
            if not hasattr(home, alias.name):
                try:
                    importlib.import_module(f"{node.module}.{alias.name}")  # which makes it one
                except ModuleNotFoundError:
                    yield f"{node.module}.{alias.name}"
                    continue
            modules[alias.asname or alias.name] = getattr(home, alias.name)
    for node in ast.walk(tree):
        is_of_module = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        home = modules.get(node.value.id) if is_of_module else None
        if isinstance(home, type(ast)) and not hasattr(home, node.attr):
            yield f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_programs_use_names_that_there_are(program):
    assert not list(_missing(program.read_text(encoding="utf-8")))


def test_names_that_are_gone_are_found():
    source = (
        "from cvae_tf.core import files, no_such_module\n"
        "from cvae_tf.core.paths import no_such_function\n"
        "files.no_such_function()\nfiles.write_json\n"
    )
    assert list(_missing(source)) == [
        "cvae_tf.core.no_such_module",
        "cvae_tf.core.paths.no_such_function",
        "files.no_such_function",
    ]
