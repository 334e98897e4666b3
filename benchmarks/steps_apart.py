"""Takes steps one by one on a strategy, and writes the figures of each and the weights at the end.

`distributed.py` calls it: python benchmarks/steps_apart.py STRATEGY LOGICAL_CPUS OUTPUT SETTINGS,
the settings as JSON. "disturb": true moves one weight by the least that it can be moved.
"""

import json
import sys

import numpy as np
import shared  # noqa: F401  (puts the project on the path)

from cvae_tf.core import tensorflow_setup
from cvae_tf.core.tensorflow_setup import quiet_import

with quiet_import():
    from cvae_tf.config import Config
    from cvae_tf.data import batches
    from cvae_tf.data.loading import load_dataset
    from cvae_tf.training import building
    from cvae_tf.training.distribution import start_strategy


def main() -> None:
    """Does it."""
    strategy, logical_cpus, output, given = sys.argv[1:]
    settings = json.loads(given)
    steps, disturb = settings.pop("steps"), settings.pop("disturb", False)
    config = Config.create(**settings)
    batches._STEPS_PER_CALL = 1
    tensorflow_setup.set_threads(0)
    with start_strategy(strategy, int(logical_cpus), settings) as distribution:
        dataset = load_dataset(config.dataset, config.data_path, config.seed, config)
        trainer = building.build_trainer(config, dataset, distribution)
        model = trainer.model
        if disturb:
            weight = model.trainable_variables[0]
            weight.assign(np.nextafter(weight.numpy(), np.float32(9)))
        figures = []
        for epoch in range(1, 2 + steps // trainer.steps_per_epoch):
            order = batches.epoch_order(trainer.num_images, model.seed, epoch)
            order = distribution.own_order(order, trainer.batch_size)
            last = min(trainer.steps_per_epoch, steps - len(figures))
            for part in trainer._train.training_parts(order, 0, last, trainer._own_batch_size):
                model.reset_metrics()
                trainer._take_steps(*part[:5])
                figures.append([float(mean.result()) for mean in model.means.values()])
        if distribution.is_chief:
            weights = [each.numpy() for net in model.networks.values() for each in net.weights]
            named = {f"weight_{number}": each for number, each in enumerate(weights)}
            np.savez(output, figures=np.array(figures), **named)
        distribution.end_together()


if __name__ == "__main__":
    main()
