"""Imports point one way, and names are those that there are: read from the source by `ast`."""

import ast
import pkgutil
import re

from helpers import PROJECT

PACKAGE = PROJECT / "cvae_tf"
# Each level may import what stands before it; rooms of one level know nothing of each other.
LEVELS = [
    ["core"],
    ["registry_entries"],
    ["registry"],
    ["presets", "reading", "network_settings", "gan_settings"],
    ["config"],
    ["data", "drawing"],
    ["distances"],
    ["models"],
    ["inference"],
    ["training"],
    ["exporting"],
    ["generation", "evaluation"],
    ["reporting"],
    ["whole_run"],
    ["workflows"],
    ["cli", "__init__"],
    ["commands", "__main__"],
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {path: ast.parse(text) for path, text in SOURCES.items()}


def _home(parts):
    """The room, or the file in the hall, that a module belongs to."""
    return parts[0] if parts else "__init__"


def _imports(tree):
    """The modules that a file imports anywhere in it, as lists of their parts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import of {node.module}"
            yield from ([*node.module.split("."), alias.name] for alias in node.names)


def test_no_import_points_up():
    for path, tree in TREES.items():
        own = _home(path.relative_to(PACKAGE).with_suffix("").parts)
        rooms = {_home(parts[1:]) for parts in _imports(tree) if parts[0] == "cvae_tf"}
        above = {name for name in rooms - {own} if LEVEL_OF[name] >= LEVEL_OF[own]}
        assert not above, f"{path} imports {above}"


def test_modules_are_of_a_size_to_be_read():
    assert not [path for path, text in SOURCES.items() if len(text.splitlines()) > 500]


CALLS = [
    (path, node)
    for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.Call)
]  # fmt: skip


def test_only_messages_print():
    printing = {path.name for path, call in CALLS if ast.unparse(call.func) == "print"}
    assert printing == {"messages.py"}


def test_texts_are_utf_8_in_every_language():
    for path, call in CALLS:
        told = ast.unparse(call)
        is_text = re.search(r"\.(read_text|write_text)\(|\bnewline=", told)
        assert not is_text or "encoding=" in told, f"{path}: {told}"


def test_programs_in_benchmarks_import_names_that_there_are():
    """They take hours, so here their names alone are tried."""
    for program in (PROJECT / "benchmarks").glob("*.py"):
        for parts in _imports(ast.parse(program.read_text(encoding="utf-8"))):
            if parts[0] == "cvae_tf":
                assert pkgutil.resolve_name(".".join(parts)) is not None


def test_the_owners_of_guarantees_are_tests_that_there_are():
    table = PROJECT / "tests" / "README.md"
    rows = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    for row in rows:
        text = ""
        for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?[^`]*`", row):
            text = (PROJECT / path).read_text(encoding="utf-8") if path else text
            assert not name or f"def {name}(" in text, row
