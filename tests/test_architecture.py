"""Imports point one way, and what must be light is light: read from the source by `ast`."""

import ast

import pytest
from conftest import PROJECT

PACKAGE = PROJECT / "cvae_tf"
# Each level may import what stands before it; rooms of one level know nothing of each other.
LEVELS = [
    ["core"],
    [
        "registry_entries",
        "registry",
        "presets",
        "reading",
        "network_settings",
        "gan_settings",
        "config",
    ],
    ["data", "drawing"],
    ["distances"],
    ["models"],
    ["training"],
    ["exporting"],
    ["generation", "evaluation"],
    ["reporting"],
    ["whole_run"],
    ["workflows"],
    ["cli", "commands", "__init__", "__main__"],
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def _home(parts):
    """The room, or the file in the hall, that a module belongs to."""
    return parts[0] if parts else "__init__"


def _imports(path):
    """The modules that a file imports anywhere in it, as lists of their parts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield [*node.module.split("."), alias.name]


def _own_imports(path):
    return {_home(parts[1:]) for parts in _imports(path) if parts[0] == "cvae_tf"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_points_up(path):
    own = _home(path.relative_to(PACKAGE).with_suffix("").parts)
    above = {
        name
        for name in _own_imports(path)
        if name != own and LEVEL_OF[name] >= LEVEL_OF[own] and not _is_earlier(name, own)
    }
    assert not above, f"{own} imports {above}"


def _is_earlier(name, own):
    """`config` and `presets` may ask what stands before them; the hall's files each other."""
    level = LEVELS[LEVEL_OF[own]]
    return (
        name in level
        and own in level
        and own
        in (
            "registry",
            "presets",
            "network_settings",
            "gan_settings",
            "config",
            "__main__",
            "commands",
        )
    )


def test_every_file_has_its_level():
    for path in SOURCES:
        assert _home(path.relative_to(PACKAGE).with_suffix("").parts) in LEVEL_OF


@pytest.mark.parametrize("name", ["config", "registry"])
def test_settings_and_tables_need_the_standard_library_alone(name):
    waiting, seen = [PACKAGE / f"{name}.py"], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for parts in _imports(path):
            assert parts[0] not in ("tensorflow", "keras", "numpy"), f"{path}: {parts}"
            if parts[0] == "cvae_tf":
                file = _file_of(parts)
                waiting += [file] if file not in seen else []


def _file_of(parts):
    """The file of an import, whose last part may be a name in it."""
    for end in (len(parts), len(parts) - 1):
        base = PROJECT.joinpath(*parts[:end])
        if base.with_suffix(".py").is_file():
            return base.with_suffix(".py")
    return PROJECT.joinpath(*parts[:-1], "__init__.py")


def test_modules_are_of_a_size_to_be_read():
    long = {path.name: n for path in SOURCES if (n := len(path.read_text().splitlines())) > 500}
    assert not long


def _calls(path):
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def test_only_messages_print():
    """No other message would be worth no run; see `core.messages.show`."""
    printing = {
        path.name for path in SOURCES for call in _calls(path) if ast.unparse(call.func) == "print"
    }
    assert printing == {"messages.py"}


def _is_text_of_the_system(call):
    """Whether a call reads or writes a text in letters that the language of the system decides."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    words = {keyword.arg for keyword in call.keywords}
    if name == "open":
        modes = [word.value for word in call.args if isinstance(word, ast.Constant)]
        is_text = "newline" in words or any(mode in ("r", "w", "a", "x") for mode in modes)
        return is_text and "encoding" not in words
    return name in ("read_text", "write_text") and len(call.args) < 2 and "encoding" not in words


def test_texts_are_utf_8_in_every_language():
    assert not [f"{path}: {ast.unparse(call)}" for path in SOURCES for call in _calls(path)
                if _is_text_of_the_system(call)]  # fmt: skip
