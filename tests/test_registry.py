import pytest

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.registry import Entry, Table

TABLES = [value for value in vars(registry).values() if isinstance(value, Table)]


def test_every_name_leads_to_its_code():
    assert len(TABLES) >= 11
    for table in TABLES:
        assert all(table.load(name) is not None for name in table)


def test_code_is_loaded_when_its_name_is_first_used():
    table = Table("thing", {"late": Entry("not_yet_there:THING")})
    assert list(table) == ["late"]
    with pytest.raises(ModuleNotFoundError, match="not_yet_there"):
        table.load("late")


def test_entries_come_and_go_from_outside_and_older_names_work_unseen():
    table = Table("thing", {"one": Entry(max)}, aliases={"old": "one"})
    table.add("mine", Entry(len, "counts"))
    assert list(table) == ["one", "mine"] and table.load("mine") is len
    assert table.load("old") is max
    table.remove("mine")
    with pytest.raises(UserError, match="--thing=mine: unknown; choose from one"):
        table.load("mine")


def test_prefixes_leave_names_open_after_the_entries():
    load = "{} from {seed}".format
    entries = {"one": Entry(len), "far:own": Entry(max)}
    table = Table("thing", entries, prefixes={"far:": Entry(load, "far away")})
    assert table.load("far:one/two")(seed=3) == "one/two from 3"
    assert table.load("far:own") is max
    assert "far:x" in table and list(table) == ["one", "far:own"]
    for name in ("far:", "near:x"):
        with pytest.raises(UserError, match=f"--thing={name}: unknown; .*, far:NAME"):
            table[name]
