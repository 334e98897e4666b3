"""Pictures of an evaluation: bounds and gaps, a posterior with two modes."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator

from cvae_tf.drawing.canvas import fit, new_figure, plain, save, show_image
from cvae_tf.evaluation.true_posterior import Modes

_LOWEST = -20.0  # log p(z|x) that is told from less, nats below the maximum
_DEVIATIONS = 3
_COLOURS = ("tab:blue", "tab:orange")  # of the encoder's posterior, and of the refined one


def draw_evaluation(
    path: Path,
    bounds: dict[str, dict[int, float]],
    elbos: dict[str, float],
    elbo: np.ndarray,
    log_evidence: np.ndarray | None,
    kl: np.ndarray,
    title: str,
    evidence: str = "log p(x)",
) -> None:
    """Draws how bounds rise with the number of samples, and where the rest is lost.

    Args:
        path: the PNG to write.
        bounds: by a name, mean importance-weighted bounds by K, nats per image.
        elbos: by a name, mean ELBOs, nats per image.
        elbo: of each image by the encoder's posterior, [N], nats.
        log_evidence: exact log p(x) of each image, [N], nats, if it is known.
        kl: mean KL of each latent dimension, [Z], nats.
        title: shown on top.
        evidence: what is bounded; of a conditional model log p(x|y).
    """
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    for (name, value), color in zip(elbos.items(), _COLOURS, strict=False):
        left.axhline(value, color=color, linestyle="--", label=name)
    for (name, by_size), color in zip(bounds.items(), _COLOURS, strict=False):
        left.set(title=f"Bounds on {evidence}", xlabel="samples K")
        left.semilogx(list(by_size), list(by_size.values()), "o-", color=color, label=name)
    if log_evidence is not None:
        left.axhline(log_evidence.mean(), color="black", label=f"{evidence}, exact")
        right.hist(log_evidence - elbo, bins=60, color="tab:blue", log=True)
        right.set(title="What the ELBO misses", xlabel=f"{evidence} - ELBO, nats", ylabel="images")
    else:
        right.bar(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], color="tab:red")
        right.set(title="KL of each latent dimension, sorted", xlabel="dimension", ylabel="nats")
        right.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    left.set(ylabel="nats per image")
    left.legend(frameon=False)
    left.grid(alpha=0.3)
    fit(figure.suptitle(plain(title)), 0.96 * figure.bbox.width)
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
    figure = new_figure(11.5, 5)
    grid = figure.add_gridspec(2, 3, width_ratios=[2.7, 1.5, 1.1])
    axes = figure.add_subplot(grid[:, 0])
    _draw_density(axes, modes, posterior)
    show_image(figure.add_subplot(grid[:, 1]), image, "The image")
    for row, name in enumerate("AB"):
        show_image(figure.add_subplot(grid[row, 2]), modes.decoded[row], f"decoded at {name}")
    figure.tight_layout()
    save(figure, path)


def _draw_density(axes: Axes, modes: Modes, posterior: tuple[np.ndarray, np.ndarray]) -> None:
    """Draws log p(z|x), with lines where it and q(z|x) are as low as 3 deviations from a mode."""
    mean, deviation = posterior[0], np.exp(0.5 * posterior[1])
    style = {"origin": "lower", "extent": modes.box}
    shown = axes.imshow(modes.log_density, cmap="magma", vmin=_LOWEST, vmax=0, **style)
    axes.figure.colorbar(
        shown, ax=axes, extend="min", label="log p(z|x) less its maximum, nats", fraction=0.046
    )
    level = -(_DEVIATIONS**2) / 2
    axes.contour(modes.log_density, [level], colors="white", linestyles="-", **style)
    size = 2 * _DEVIATIONS * deviation
    axes.add_patch(Ellipse(mean, *size, fill=False, color="deepskyblue", linewidth=1.8))
    for name, place in zip("AB", modes.places, strict=True):
        axes.annotate(
            name, place, (14, 14), textcoords="offset points", color="white", fontsize=12,
            arrowprops={"color": "white", "arrowstyle": "-", "shrinkB": 0},
            bbox={"color": "black", "alpha": 0.5, "pad": 1.5},
        )  # fmt: skip
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_title(
        f"True posterior p(z|x); white: {-level} nats below its maximum,\n"
        "as 3 deviations of a Gaussian are; blue: q(z|x), 3 deviations", fontsize=10,
    )  # fmt: skip
