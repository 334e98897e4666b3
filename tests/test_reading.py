import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.reading import ReadingSettings


@pytest.mark.parametrize(
    ("text", "size"),
    [(None, None), ("64", (64, 64)), (64, (64, 64)), ("64x48", (64, 48)), ("8X256", (8, 256))],
)
def test_sizes_are_height_and_width(text, size):
    assert ReadingSettings(image_size=text).height_and_width == size


@pytest.mark.parametrize(
    "text",
    ["7", "300x2", "1025", "64x", "x64", "64x48x3", "", "-64", "6.4", "٦٤", "9" * 5000, "a\n"],
)
def test_other_sizes_are_refused_in_one_line(text):
    with pytest.raises(UserError, match=r"--image_size=.*from 8 to 256 pixels") as caught:
        ReadingSettings(image_size=text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("fit", "squeeze"), ("channels", 2), ("channels", 4), ("background", 256), ("skip_bad", "no")],
)
def test_values_that_cannot_be_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"--{name}={value}|--{name}='{value}'"):
        ReadingSettings(**{name: value})
