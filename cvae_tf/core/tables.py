"""Tables of names: what a name stands for is loaded when it is first used."""

import dataclasses
import functools
import importlib
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from cvae_tf.core.errors import UserError
from cvae_tf.core.quiet import quiet_import


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where the code of a name is, and what must be known of it before it is loaded."""

    home: Any  # "module:attribute", or the thing itself
    summary: str = ""  # a few words for people

    def load(self) -> Any:
        """Imports what the name stands for."""
        return import_home(self.home) if isinstance(self.home, str) else self.home


def import_home(home: str) -> Any:
    """Imports "module:attribute", which may be what brings TensorFlow in."""
    module, _, attribute = home.partition(":")
    with quiet_import():
        return getattr(importlib.import_module(module), attribute)


AnEntry = TypeVar("AnEntry", bound=Entry)


class Table(Generic[AnEntry]):
    """Entries by name, in the order in which people are shown them."""

    def __init__(
        self,
        setting: str,
        entries: dict[str, AnEntry],
        aliases: dict[str, str] | None = None,
        prefixes: dict[str, AnEntry] | None = None,
    ):
        """Takes what the table holds.

        Args:
            setting: whose values the names are.
            entries: by name.
            aliases: older names of some.
            prefixes: entries for all names that begin so, such as "tfds:"; what they stand for is
                called with the rest of the name first.
        """
        self.setting, self._entries = setting, dict(entries)
        self._aliases, self.prefixes = aliases or {}, prefixes or {}

    def __iter__(self) -> Iterator[str]:
        """Yields the names, without those that only a prefix knows."""
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        """Whether a name is one of the table, or begins as one."""
        return name in self._entries or self._prefix_of(name) is not None

    def __getitem__(self, name: str) -> AnEntry:
        """Finds an entry.

        Raises:
            UserError: if the name is not in the table; it says which names are.
        """
        name = self._aliases.get(name, name)
        if name in self._entries:
            return self._entries[name]
        prefix = self._prefix_of(name)
        if prefix is None:
            raise UserError(f"--{self.setting}={name}: unknown; choose from {self.listed}.")
        return self.prefixes[prefix]

    def _prefix_of(self, name: str) -> str | None:
        """The prefix that a name begins with, if something comes after it."""
        return next((p for p in self.prefixes if name.startswith(p) and name != p), None)

    @property
    def listed(self) -> str:
        """All names in a line."""
        return ", ".join([*self._entries, *(f"{prefix}NAME" for prefix in self.prefixes)])

    @property
    def summary(self) -> str:
        """The names with a few words each, for help."""
        open_names = {f"{prefix}NAME": entry for prefix, entry in self.prefixes.items()}
        named = {**self._entries, **open_names}
        return "; ".join(f"{name}: {entry.summary}" for name, entry in named.items())

    def load(self, name: str) -> Any:
        """Imports what a name stands for; raises as `[]` does."""
        loaded = self[name].load()
        if self._aliases.get(name, name) in self._entries:
            return loaded
        return functools.partial(loaded, name.removeprefix(self._prefix_of(name)))

    def add(self, name: str, entry: AnEntry) -> None:
        """Adds or replaces an entry, also from outside this package."""
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Takes out an entry that was added."""
        del self._entries[name]
