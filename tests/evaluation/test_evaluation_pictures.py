import imageio.v3 as iio
import numpy as np
import pytest
from matplotlib.patches import Ellipse
from matplotlib.text import Text

from cvae_tf.evaluation import pictures
from cvae_tf.evaluation.true_posterior import Modes


@pytest.fixture
def drawn(monkeypatch):
    """The pages that were written, as matplotlib figures."""
    written, save = [], pictures.save

    def keep(figure, path):
        written.append(figure)
        save(figure, path)

    monkeypatch.setattr(pictures, "save", keep)
    return written


def _modes(channels=1):
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    peaks = [((x - a) ** 2 + (y - b) ** 2) / 0.02 for a, b in ((0.5, 0.5), (-0.5, -0.2))]
    places = np.array([(0.5, 0.5), (-0.5, -0.2)])
    decoded = np.random.default_rng(0).uniform(size=(2, 8, 8, channels))
    return Modes(3, (-1, 1, -1, 1), -np.minimum(*peaks), places, decoded)


@pytest.mark.parametrize("channels", [1, 3])
def test_picture_of_a_posterior_shows_its_logarithm_and_says_so(tmp_path, drawn, channels):
    modes = _modes(channels)
    posterior = np.array([0.4, 0.5]), 2 * np.log([0.1, 0.05])
    pictures.draw_posterior(tmp_path / "a.png", modes.decoded[0], modes, posterior)
    axes = drawn[0].axes[0]
    image = axes.images[0]
    np.testing.assert_array_equal(image.get_array(), modes.log_density)
    assert tuple(image.get_extent()) == modes.box
    assert image.norm.vmax == 0
    words = [text.get_text() for text in drawn[0].findobj(Text)]
    assert "log p(z|x) less its maximum, nats" in words
    (ellipse,) = [patch for patch in axes.patches if isinstance(patch, Ellipse)]
    np.testing.assert_allclose((ellipse.width, ellipse.height), (0.6, 0.3))
    assert iio.imread(tmp_path / "a.png").std() > 10


def test_white_line_is_where_a_gaussian_has_three_deviations(tmp_path, drawn):
    modes = _modes()
    posterior = np.zeros(2), np.zeros(2)
    pictures.draw_posterior(tmp_path / "a.png", modes.decoded[0], modes, posterior)
    (line,) = drawn[0].axes[0].collections
    points = np.concatenate([path.vertices for path in line.get_paths()])
    distances = [np.linalg.norm(points - place, axis=1) for place in modes.places]
    assert len(points) > 50
    np.testing.assert_allclose(np.minimum(*distances), 3 * 0.1, atol=0.01)


@pytest.mark.parametrize("dimensions", [1, 2, 30])
def test_dimensions_are_counted_by_whole_numbers(tmp_path, drawn, dimensions):
    values = np.full(1, -100.0)
    kl = np.linspace(0, 3, dimensions)
    elbos = {"ELBO": -100.0}
    pictures.draw_evaluation(tmp_path / "a.png", {}, elbos, values, None, kl, "Title $x^$ " * 30)
    right = drawn[0].axes[1]
    ticks = right.get_xticks()
    assert all(tick == round(tick) for tick in ticks)
    heights = [bar.get_height() for bar in right.patches]
    np.testing.assert_allclose(heights, kl[::-1])
