"""What images without labels, and images drawn by a conditional model, bring to few labels.

    python benchmarks/few_labels.py --data_path mnist.npz

Ten draws of 100 and of 1,000 labelled training images of MNIST, as many of each digit; errors on
the test images, in five ways:

- a support vector machine of scikit-learn on the labelled images;
- the same, beside images drawn by a conditional model that has seen the labelled images alone;
- labels spread over all training images by a graph of near latents of an unconditional model, and
  the ten nearest neighbours of a test image;
- a small convolutional network that has learned the spread labels;
- the same machine on the labelled images, beside images drawn by a conditional model that has
  learned the surer half of the spread labels.

What is trained and measured is kept in --work. Writes few_labels.json and few_labels.md to
--output. Needs requirements-dev.txt; about an hour on two cores.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from quality import balanced_draw
from shared import Bench, describe_machine, write_report

HERE = Path(__file__).parent
DRAWS, SIZES = 10, (100, 1000)
NEIGHBOURS, ALPHA, ROUNDS = 10, 0.99, 400  # of the graph, as chosen in NOTES.md
DRAWN, SEEN, SHOWN = 5_000, 5_000, 100
DRAWS_OF_SPREAD = 3  # of 100 labels; each trains a conditional model on half of all images
UNLABELLED = [
    "--network=patches_smooth", "--latent_dim=20", "--binarize=dynamic", "--epochs=20",
    "--augment=0.15",
]  # fmt: skip
OF_FEW = [
    "--preset=hybrid", "--conditional", "--latent_dim=10", "--epochs=10", "--augment=1",
]  # fmt: skip
OF_SPREAD = [
    "--conditional", "--network=patches_smooth", "--latent_dim=20", "--binarize=dynamic",
    "--epochs=4",
]  # fmt: skip
WAYS = {
    "labelled": "support vector machine, labelled images",
    "drawn": "the same + images drawn by a conditional model of them",
    "spread": "labels spread by latents, nearest neighbours",
    "network": "convolutional network of the spread labels",
    "drawn_of_spread": "support vector machine + images of a conditional model of spread labels",
}


def latents(bench: Bench) -> dict[str, np.ndarray]:
    """Posterior means of all images under a model that has seen no label."""
    import cvae_tf

    path = bench.work / "latents.npz"
    if not path.exists():
        model = cvae_tf.load(bench.trained("unlabelled", UNLABELLED))
        found = {
            name: model.encode((bench.data[name] > 127)[..., None]).mean
            for name in ("x_train", "x_test")
        }
        np.savez(path, **found)
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def neighbour_graph(found: np.ndarray) -> Any:
    """Joins each image to its nearest ones, by how near they are; degrees are divided out."""
    import scipy.sparse
    from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(found, NEIGHBOURS, mode="distance")
    graph.data = np.exp(-((graph.data / np.median(graph.data)) ** 2))
    graph = graph.maximum(graph.T)
    roots = scipy.sparse.diags(np.asarray(graph.sum(axis=1)).ravel() ** -0.5)
    return roots @ graph @ roots


def spread(graph: Any, labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Spreads labels (Zhou et al. 2004), each class getting its share; probabilities [N, 10]."""
    given = np.zeros((graph.shape[0], 10))
    given[chosen, labels[chosen]] = 1
    found = given.copy()
    for _ in range(ROUNDS):
        found = ALPHA * (graph @ found) + (1 - ALPHA) * given
    found /= found.sum(axis=1, keepdims=True) + 1e-30
    found /= found.mean(axis=0)
    return found / found.sum(axis=1, keepdims=True)


def vector_machine(images: np.ndarray, labels: np.ndarray, bench: Bench) -> float:
    """The test error of scikit-learn's support vector machine; its C is the usual 10."""
    from sklearn.svm import SVC

    machine = SVC(C=10.0).fit(images.reshape(len(images), -1), labels)
    test = bench.data["x_test"].reshape(-1, 784).astype(np.float32) / 255
    return float(np.mean(machine.predict(test) != bench.data["y_test"]))


def with_drawn(
    bench: Bench, name: str, flags: list[str], rows: np.ndarray, labels: np.ndarray,
    chosen: np.ndarray,
) -> float:  # fmt: skip
    """Trains a conditional model of some images; the machine's error with what it draws."""
    import cvae_tf

    data_path = bench.work / f"{name}.npz"
    rows = np.concatenate([rows, np.setdiff1d(chosen, rows)])
    rows = np.tile(rows, -(-SEEN // len(rows)))  # warped each time, a few make a longer epoch
    test = {key: bench.data[key][:SHOWN] for key in ("x_test", "y_test")}  # for its pictures
    np.savez(data_path, x_train=bench.data["x_train"][rows], y_train=labels[rows], **test)
    model = cvae_tf.load(bench.trained(name, flags, data_path))
    drawn = model.sample(DRAWN, seed=1)[..., 0]
    own = bench.data["x_train"][chosen].astype(np.float32) / 255
    known = np.concatenate([labels[chosen], model.labels_in_turn(DRAWN)])
    return vector_machine(np.concatenate([own, drawn]), known, bench)


def network(bench: Bench, labels: np.ndarray) -> float:
    """The test error of the convolutional network that the project compares images by."""
    from cvae_tf import distances
    from cvae_tf.data.datasets import Split

    learner = distances.build_classifier((28, 28, 1), 10)
    images = {name: bench.data[name][..., None] for name in ("x_train", "x_test")}
    distances.fit_classifier(learner, Split(images["x_train"], labels), lambda share: None)
    test = Split(images["x_test"], bench.data["y_test"])
    return 1 - distances.measure_accuracy(learner, test)


def measure(
    bench: Bench, found: dict[str, np.ndarray], graph: Any, size: int, draw: int
) -> dict[str, float]:
    """Measures one draw in all ways."""
    from sklearn.neighbors import KNeighborsClassifier

    labels = bench.data["y_train"].astype(np.int64)
    chosen = balanced_draw(labels, size // 10, draw)
    grey = bench.data["x_train"][chosen].astype(np.float32) / 255
    shares = spread(graph, labels, chosen)
    guessed, sure = shares.argmax(axis=1), shares.max(axis=1)
    guessed[chosen] = labels[chosen]
    near = KNeighborsClassifier(NEIGHBOURS).fit(found["x_train"], guessed)
    near = near.kneighbors(found["x_test"], return_distance=False)
    of_near = shares[near].mean(axis=1).argmax(axis=1)
    few, surer = f"few_{size}_{draw}", np.flatnonzero(sure >= np.median(sure))
    errors = {
        "labelled": vector_machine(grey, labels[chosen], bench),
        "drawn": with_drawn(bench, few, OF_FEW, chosen, labels, chosen),
        "spread": float(np.mean(of_near != bench.data["y_test"])),
    }
    if size == SIZES[0]:
        errors["network"] = network(bench, guessed)
    if size == SIZES[0] and draw < DRAWS_OF_SPREAD:
        name = f"spread_{size}_{draw}"
        errors["drawn_of_spread"] = with_drawn(bench, name, OF_SPREAD, surer, guessed, chosen)
    return errors


def as_table(results: dict[str, Any]) -> str:
    """Writes mean errors with their standard errors."""
    lines = [
        f"{results['machine']}. MNIST; errors on the 10,000 test images, means of {DRAWS} draws of "
        "labelled training images +- standard error.",
        "", f"| | {' | '.join(f'{size:,} labels' for size in SIZES)} |",
        f"| --- |{' --- |' * len(SIZES)}",
    ]  # fmt: skip
    for way, title in WAYS.items():
        columns = []
        for size in SIZES:
            errors = [draw[way] for draw in results["draws"][str(size)] if way in draw]
            deviation = np.std(errors, ddof=1) / len(errors) ** 0.5 if len(errors) > 1 else 0.0
            fewer = f" ({len(errors)} draws)" if len(errors) < DRAWS else ""
            columns.append(
                f"{100 * np.mean(errors):.2f} % +- {100 * deviation:.2f}{fewer}" if errors else "-"
            )
        lines.append(f"| {title} | {' | '.join(columns)} |")
    for title, flags in (
        ("latents", UNLABELLED), ("of labelled images", OF_FEW), ("of spread labels", OF_SPREAD),
    ):  # fmt: skip
        lines += ["", f"Model {title}: `python train.py {' '.join(flags)}`."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--work", type=Path, default=HERE / "few_labels_runs", help="what is kept")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    arguments = parser.parse_args()
    bench = Bench(arguments.data_path, arguments.work)
    found = latents(bench)
    graph = neighbour_graph(found["x_train"])
    draws = {
        str(size): [
            bench.kept(
                f"{size} labels, draw {draw}",
                lambda size=size, draw=draw: measure(bench, found, graph, size, draw),
            )
            for draw in range(DRAWS)
        ]
        for size in SIZES
    }
    results = {"machine": describe_machine(), "draws": draws}
    write_report(arguments.output, "few_labels", results, as_table)


if __name__ == "__main__":
    main()
