import numpy as np
import pytest

from cvae_tf.evaluation import cell_rules


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_nodes_and_weights_integrate_polynomials(latent_dim):
    places = cell_rules.places(4, latent_dim)
    weights = np.exp(cell_rules.log_weights(4, latent_dim))
    assert weights.sum() == pytest.approx(1)
    assert weights @ places[:, 0] ** 7 == pytest.approx(1 / 8)  # over the unit cell
    if latent_dim == 2:
        assert weights @ (places[:, 0] ** 2 * places[:, 1] ** 5) == pytest.approx(1 / 3 / 6)


@pytest.mark.parametrize(("nodes", "points"), [(4, 16), (8, 64), (64, 64)])
def test_a_polynomial_goes_through_the_values_and_another_has_one_degree_less(nodes, points):
    full, lower = cell_rules.onto_points(nodes, points)
    at_nodes, at_points = (cell_rules.places(number, 1)[:, 0] for number in (nodes, points))
    degree = min(nodes - 1, 7)
    np.testing.assert_allclose(full @ at_nodes**degree, at_points**degree, atol=1e-12)
    np.testing.assert_allclose(lower @ at_nodes**2, at_points**2, atol=1e-12)
    # Of all polynomials of degree n - 2 it is the nearest one to the values, by their weights.
    values = np.random.default_rng(0).normal(size=nodes)
    own = np.polynomial.Legendre.fit(
        at_nodes, values, nodes - 2, domain=[0, 1],
        w=np.exp(cell_rules.log_weights(nodes, 1) / 2),
    )  # fmt: skip
    np.testing.assert_allclose(lower @ values, own(at_points), atol=1e-8)
