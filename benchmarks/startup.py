"""Seconds from `import cvae_tf` to the end of the first training step.

    python benchmarks/startup.py --data_path mnist.npz

The seconds of `import tensorflow` come before and are not counted.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import processes  # noqa: F401  (puts the project on the path)

REPETITIONS = 5


def first_step(data_path: str) -> dict[str, float]:
    """Does in this process what `train.py` does up to its first step; returns seconds by part."""
    import tensorflow as tf  # noqa: F401

    marks = {"begin": time.perf_counter()}
    from cvae_tf.config import Config
    from cvae_tf.core import tensorflow_setup
    from cvae_tf.data.batches import epoch_order
    from cvae_tf.data.loading import load_dataset
    from cvae_tf.training import building
    from cvae_tf.training.trainer import Trainer

    marks["import"] = time.perf_counter()
    tensorflow_setup.set_threads(0)
    config = Config.create(data_path=data_path)
    dataset = load_dataset(data_path=data_path)
    marks["data"] = time.perf_counter()
    num_images = len(dataset.train.images)
    model = building.build_model(config, dataset.image_shape, num_images)
    trainer = Trainer(model, dataset, config.batch_size)
    marks["model"] = time.perf_counter()
    order = epoch_order(num_images, config.seed, 1)
    (part,) = trainer._train.training_parts(order, 0, 1, trainer.batch_size)
    trainer._take_steps(*part[:5])
    marks["first step"] = time.perf_counter()
    names = list(marks)
    parts = {b: marks[b] - marks[a] for a, b in zip(names, names[1:], strict=False)}
    return {**parts, "all": marks["first step"] - marks["begin"]}


def main() -> None:
    """Prints the parts of one start, or the median of several starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_path", required=True, help="MNIST as an .npz of Keras, or a folder of pictures"
    )
    parser.add_argument("--once", action="store_true", help="used by the program itself")
    arguments = parser.parse_args()
    data_path = str(Path(arguments.data_path).resolve())
    if arguments.once:
        parts = first_step(data_path)
        print({name: round(seconds, 3) for name, seconds in parts.items()})
        print(parts["all"])
        return
    command = [sys.executable, __file__, f"--data_path={data_path}", "--once"]
    seconds = []
    for _ in range(REPETITIONS):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout.splitlines()[-1]))
        print(done.stdout.splitlines()[-2])
    print(f"median of {REPETITIONS}: {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
