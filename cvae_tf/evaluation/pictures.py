"""Pictures of an evaluation."""

from pathlib import Path

import numpy as np
from matplotlib.patches import Ellipse

from cvae_tf.drawing.figures import new_figure, save, show_image
from cvae_tf.evaluation.true_posterior import Modes


def draw_evaluation(
    path: Path,
    bounds: dict[int, float],
    elbo: np.ndarray,
    log_likelihood: np.ndarray | None,
    kl: np.ndarray,
    title: str,
    elbo_title: str,
) -> None:
    """Draws how bounds rise with the number of samples, and where the rest is lost.

    Args:
        path: the PNG to write.
        bounds: mean importance-weighted bound by K, nats per image.
        elbo: of each image, [N], nats.
        log_likelihood: exact log p(x) of each image, [N], nats, if it is known.
        kl: mean KL of each latent dimension, [Z], nats.
        title: shown on top.
        elbo_title: what the ELBO is to be called, see `Config.term_titles`.
    """
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    left.axhline(elbo.mean(), color="tab:blue", linestyle="--", label=elbo_title)
    if bounds:
        left.set(title="Bounds on log p(x)", xlabel="samples K")
        label = "importance-weighted bound"
        left.semilogx(list(bounds), list(bounds.values()), "o-", color="tab:orange", label=label)
    if log_likelihood is not None:
        left.axhline(log_likelihood.mean(), color="black", label="log p(x), exact")
        right.hist(log_likelihood - elbo, bins=60, color="tab:blue", log=True)
        right.set(title="What the ELBO misses", xlabel="log p(x) - ELBO, nats", ylabel="images")
    else:
        right.bar(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], color="tab:red")
        right.set(title="KL of each latent dimension, sorted", xlabel="dimension", ylabel="nats")
    left.set(ylabel="nats per image")
    left.legend(frameon=False)
    left.grid(alpha=0.3)
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path)


def draw_posterior(
    path: Path, image: np.ndarray, modes: Modes, posterior: tuple[np.ndarray, np.ndarray]
) -> None:
    """Draws an image whose true posterior has two modes, and what the encoder makes of it.

    Args:
        path: the PNG to write.
        image: [H, W, C].
        modes: its true posterior.
        posterior: mean and logvar of q(z|x), each [2].
    """
    mean, deviation = posterior[0], np.exp(0.5 * posterior[1])
    figure = new_figure(10, 4.6)
    grid = figure.add_gridspec(2, 4)
    axes = figure.add_subplot(grid[:, :2])
    axes.imshow(np.sqrt(modes.density), origin="lower", extent=modes.box, cmap="magma")
    axes.add_patch(Ellipse(mean, *(6 * deviation), fill=False, color="deepskyblue", linewidth=1.5))
    for name, place in zip("AB", modes.places, strict=True):
        axes.annotate(
            name, place, (12, 12), textcoords="offset points", color="white", fontsize=12,
            arrowprops={"color": "white", "arrowstyle": "-"},
        )  # fmt: skip
    axes.set(title="True posterior p(z|x); circle: q(z|x), 3 deviations", xlabel="$z_1$")
    axes.set_ylabel("$z_2$")
    show_image(figure.add_subplot(grid[:, 2]), image, "The image")
    for row, name in enumerate("AB"):
        show_image(figure.add_subplot(grid[row, 3]), modes.decoded[row], f"decoded at {name}")
    figure.tight_layout()
    save(figure, path)
