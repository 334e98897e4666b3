"""Imports point one way, and names are those that there are: read from the source by `ast`."""

import ast
import itertools
import pkgutil
import re

from helpers import PROJECT

PACKAGE = PROJECT / "cvae_tf"
# Each level may import what stands before it; rooms of one level know nothing of each other.
LEVELS = [
    ["core", "presets"],
    ["data", "drawing"],
    ["distances"],
    ["models"],
    ["inference"],
    ["checks"],
    ["config"],
    ["training"],
    ["exporting"],
    ["generation", "evaluation"],
    ["reporting"],
    ["api"],
    ["flags"],
    ["cli", "__init__"],
    ["__main__"],
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


def test_models_are_mathematics():
    others = "drawing", "data", "distances", "core.files", "core.terminal"
    others = tuple(f"cvae_tf.{name}" for name in (*others, "models.family"))
    for kind in ("vae", "gan"):
        imports = _imports(TREES[PACKAGE / "models" / kind / "model.py"])
        assert not [parts for parts in imports if ".".join(parts).startswith(others)]


CALLS = [
    (path, node)
    for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.Call)
]  # fmt: skip


def test_only_the_terminal_module_prints():
    printing = {path.name for path, call in CALLS if ast.unparse(call.func) == "print"}
    assert printing == {"terminal.py"}


def test_names_are_bound_by_import_but_for_optional_packages():
    by_string = [
        (path.name, ast.unparse(call)) for path, call in CALLS
        if ast.unparse(call.func) in ("importlib.import_module", "__import__")
    ]  # fmt: skip
    assert not [told for told in by_string if told[0] != "named_sets.py"]


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


# The ways that docs/architecture.md shows: each call is there, and there are few.

LONGEST = (7, 7, 8, 8)


def _ways():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text[text.index("## Four ways") :]
    return [re.findall(r"`([\w.]+)`", item) for item in re.split(r"^- ", section, flags=re.M)[1:]]


def _calls_of(place):
    """What a function calls, or hands on, by names without the object and underscores before."""
    module, _, function = place.rpartition(".")
    tree = TREES[PACKAGE.joinpath(*module.split(".")).with_suffix(".py")]
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function]
    assert nodes, f"there is no {place}"
    inner = [node for body in nodes for node in ast.walk(body)]
    names = {node.attr for node in inner if isinstance(node, ast.Attribute)}
    return {name.lstrip("_") for name in names | {n.id for n in inner if isinstance(n, ast.Name)}}


def test_ways_through_the_house_are_short_and_as_the_docs_show_them():
    for way, longest in zip(_ways(), LONGEST, strict=True):
        assert len(way) - 1 <= longest
        for caller, called in itertools.pairwise(way):
            assert called.rpartition(".")[2].lstrip("_") in _calls_of(caller), f"{caller}: {called}"
