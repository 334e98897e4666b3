import sys
import types

import pytest

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.registry import Entry, Table

TABLES = {name: value for name, value in vars(registry).items() if isinstance(value, Table)}


@pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table in TABLES for name in TABLES[table]]
)
def test_every_name_leads_to_its_code(table, name):
    assert TABLES[table].load(name) is not None


def test_unknown_names_are_refused_with_those_that_are():
    with pytest.raises(UserError, match="--network=resnet: unknown; choose from tutorial, mlp, hy"):
        registry.NETWORKS["resnet"]


def test_code_is_loaded_when_its_name_is_first_used(monkeypatch):
    table = Table("thing", {"late": Entry("not_yet_there:THING")})
    assert list(table) == ["late"] and "not_yet_there" not in sys.modules
    module = types.ModuleType("not_yet_there")
    module.THING = object()
    monkeypatch.setitem(sys.modules, "not_yet_there", module)
    assert table.load("late") is module.THING


def test_entries_come_and_go_from_outside():
    table = Table("thing", {"one": Entry("a:b")})
    table.add("mine", Entry(len, "counts"))
    assert list(table) == ["one", "mine"] and table.load("mine") is len
    table.remove("mine")
    with pytest.raises(UserError, match="--thing=mine: unknown; choose from one"):
        table.load("mine")


def test_older_names_work_but_are_not_shown():
    table = Table("thing", {"new": Entry(len)}, aliases={"old": "new"})
    assert table.load("old") is len
    assert list(table) == ["new"]


def test_prefixes_leave_names_open():
    def load(name, seed):
        return name, seed

    table = Table("thing", {"one": Entry(len)}, prefixes={"far:": Entry(load, "far away")})
    assert table.load("far:one/two")(seed=3) == ("one/two", 3)
    assert table["far:x"].summary == "far away"
    assert "far:x" in table and "one" in table and list(table) == ["one"]
    assert table.summary == "one: ; far:NAME: far away"
    for name in ("far", "far:", "near:x", "", "xfar:x"):
        assert name not in table
        with pytest.raises(UserError, match=f"--thing={name}: unknown; choose from one, far:NAME"):
            table[name]


def test_an_entry_goes_before_a_prefix():
    table = Table("thing", {"x:own": Entry(len)}, prefixes={"x:": Entry(max)})
    assert table.load("x:own") is len
