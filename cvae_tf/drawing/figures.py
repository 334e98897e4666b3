"""Pictures with axes or text: epochs, curves, the latent space, images with captions."""

import statistics
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cvae_tf.core import files
from cvae_tf.drawing.mosaics import mosaic, stacked

_DOTS_PER_INCH = 100
_CURVES = {  # columns of metrics.csv, as far as they are there
    "train_elbo": "--",
    "train_pseudo_elbo": "--",
    "train_objective": "-.",
    "test_elbo": "-",
    "test_pseudo_elbo": "-",
    "test_log_likelihood": ":",
    "test_negative_cross_entropy": ":",
}


def draw_epoch(
    path: Path,
    samples: np.ndarray,
    originals: np.ndarray,
    reconstructions: np.ndarray,
    title: str,
) -> None:
    """Draws samples from the prior beside originals over their reconstructions.

    Args:
        path: the PNG to write.
        samples: [64, H, W, C] in [0, 1].
        originals: [32, H, W, C].
        reconstructions: of the originals, [32, H, W, C].
        title: shown on top.
    """
    figure = new_figure(10.4, 5.8)
    left, right = figure.subplots(1, 2)
    show_image(left, mosaic(samples, columns=8), "Samples from the prior")
    pairs = stacked([originals, reconstructions], columns=8)
    show_image(right, mosaic(pairs, columns=8), "Test images, each row over its reconstructions")
    figure.suptitle(title, fontsize=14)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.87, wspace=0.04)
    save(figure, path)


def normal_quantile_grid(side: int) -> np.ndarray:
    """Latents that divide the prior of a 2-D latent space evenly.

    Args:
        side: points along each axis.

    Returns:
        float32 [side * side, 2], row by row from the top left.
    """
    normal = statistics.NormalDist()
    quantiles = np.array([normal.inv_cdf((i + 0.5) / side) for i in range(side)], np.float32)
    x, y = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def draw_manifold(path: Path, images: np.ndarray, title: str) -> None:
    """Draws decoded images of a square grid over a 2-D latent space.

    Args:
        path: the PNG to write.
        images: [side * side, H, W, C] in [0, 1], in the order of `normal_quantile_grid`.
        title: shown on top.
    """
    figure = new_figure(8, 8.6)
    axes = figure.subplots()
    side = round(len(images) ** 0.5)
    show_image(axes, mosaic(images, columns=side, gap=1), title)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.94)
    save(figure, path)


def draw_latents(path: Path, means: np.ndarray, labels: np.ndarray | None, title: str) -> None:
    """Draws the posterior means, coloured by label; of more than two dimensions, their PCA.

    Args:
        path: the PNG to write.
        means: [N, Z].
        labels: [N], or None.
        title: shown on top.
    """
    points, names = _two_dimensions(means)
    figure = new_figure(8, 7)
    axes = figure.subplots()
    if labels is None:
        axes.scatter(*points.T, s=4, alpha=0.6, linewidths=0)
    else:
        classes, indices = np.unique(labels, return_inverse=True)
        dots = axes.scatter(
            *points.T, c=indices, cmap="tab10" if len(classes) <= 10 else "viridis",
            vmin=-0.5, vmax=max(len(classes), 10) - 0.5 if len(classes) <= 10 else None,
            s=5, alpha=0.7, linewidths=0,
        )  # fmt: skip
        if len(classes) <= 10:
            axes.legend(
                dots.legend_elements(num=list(range(len(classes))))[0], classes, title="Label",
                loc="center left", bbox_to_anchor=(1, 0.5), frameon=False,
            )  # fmt: skip
    axes.set(title=title, xlabel=names[0], ylabel=names[1], aspect="equal")
    save(figure, path)


def _two_dimensions(means: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Brings [N, Z] to [N, 2], and says what the two axes are."""
    if means.shape[1] == 2:
        return means, ("$z_1$", "$z_2$")
    if means.shape[1] == 1:
        ranks = np.linspace(0, 1, len(means))
        return np.stack([means[:, 0], ranks], axis=1), ("$z_1$", "place in the test set")
    centred = means - means.mean(axis=0)
    _, spreads, directions = np.linalg.svd(centred, full_matrices=False)
    shares = spreads**2 / max(np.sum(spreads**2), 1e-12)
    names = tuple(
        f"principal component {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2)
    )
    return centred @ directions[:2].T, names


def draw_curves(path: Path, metrics: list[dict[str, float]], title: str) -> None:
    """Draws ELBO, log-likelihood and KL by epoch.

    Args:
        path: the PNG to write.
        metrics: the rows of `metrics.csv`.
        title: shown on top.
    """
    epochs = [row["epoch"] for row in metrics]
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    for name, style in _CURVES.items():
        if name in metrics[0]:
            values = [row[name] for row in metrics]
            left.plot(epochs, values, style, marker=".", label=name.replace("_", " "))
    left.set(title="What is to be large", xlabel="epoch", ylabel="nats per image")
    left.legend(frameon=False)
    right.plot(epochs, [row["test_kl"] for row in metrics], marker=".", color="tab:red")
    right.set(title="KL of posterior from prior (test)", xlabel="epoch", ylabel="nats per image")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path)


def draw_captioned(
    path: Path, images: np.ndarray, captions: list[str], columns: int, title: str
) -> None:
    """Draws images with a line of text under each.

    Args:
        path: the PNG to write.
        images: [N, H, W, C] in [0, 1].
        captions: N short texts.
        columns: images in a row.
        title: shown on top.
    """
    height, width = images.shape[1:3]
    gap = max(height, width) // 3
    rows = -(-len(images) // columns)
    figure = new_figure(1.2 * columns + 0.2, 1.2 * rows + 0.6)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.45 / (1.2 * rows + 0.6)))
    margin = np.ones((gap, columns * (width + gap) - gap, images.shape[3]), np.float32)
    show_image(axes, np.concatenate([mosaic(images, columns, gap), margin]), title)
    for number, caption in enumerate(captions):
        row, column = divmod(number, columns)
        x, y = column * (width + gap) + width / 2, row * (height + gap) + height + gap / 2
        axes.text(x, y, caption, ha="center", va="center", fontsize=8)
    save(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Begins a figure of so many inches that nothing else holds on to."""
    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH)


def show_image(axes: Axes, image: np.ndarray, title: str) -> None:
    """Shows an image [H, W, C] in [0, 1] under its title."""
    image = image if image.shape[-1] == 3 else image[..., 0]
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG, atomically."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary)
