import dataclasses

import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.registry import MODES


def test_every_setting_is_looked_at_by_some_mode():
    used = {name for mode in MODES for name in MODES[mode].settings}
    assert used == {field.name for field in dataclasses.fields(GenerationSettings)}


def test_settings_that_a_mode_looks_at_are_taken():
    request = GenerationSettings.create("class", label="7", num=3)
    assert (request.label, request.num, request.seed) == ("7", 3, 0)


def test_older_names_of_modes_still_work():
    assert GenerationSettings.create("digit", label="7") == GenerationSettings.create(
        "class", label="7"
    )
    assert MODES["digit"] is MODES["class"] and "digit" not in list(MODES)


def test_settings_that_would_do_nothing_are_refused():
    with pytest.raises(UserError, match="--label does nothing with --mode=styles; it is for samp"):
        GenerationSettings.create("styles", label="7")


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("samples", {"num": 0}),
        ("samples", {"seed": -1}),
        ("samples", {"seed": 2**31}),
        ("neighbours", {"index": -1}),
        ("neighbours", {"spread": -0.1}),
        ("neighbours", {"spread": float("nan")}),
        ("denoise", {"noise": 0.6}),
    ],
)
def test_values_out_of_range_are_refused(mode, settings):
    ((name, value),) = settings.items()
    with pytest.raises(UserError, match=f"--{name}={value}: must be"):
        GenerationSettings.create(mode, **settings)
