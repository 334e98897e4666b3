import os
from pathlib import Path

import pytest

from cvae_tf.data import memory


def test_free_memory_is_some_of_that_of_the_machine():
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**20 < memory.free_bytes() < whole


@pytest.mark.parametrize("content", [None, "", "MemAvailable: much kB\n"])
def test_systems_that_do_not_tell(monkeypatch, content):
    def read_text(self, **options):
        if content is None:
            raise FileNotFoundError
        return content

    monkeypatch.setattr(Path, "read_text", read_text)
    assert memory.free_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    monkeypatch.delattr(os, "sysconf")
    assert memory.free_bytes() == 2**31
