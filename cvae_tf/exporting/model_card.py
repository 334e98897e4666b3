"""The README.md beside an exported model: what it is, what its numbers mean, how to use it."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from cvae_tf.config import term_names

_LICENCES = {
    "MNIST": "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): CC BY-SA 3.0",
    "bundled digits": "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI): "
    "CC BY 4.0",
}

_CARD = """# A convolutional variational autoencoder of {height} x {width} images

Made by cvae-tf: {network} network, {latent_dim} latent dimensions, {epochs} epochs. It draws new
images, finds the latents of images, reconstructs them, and scores how usual they are.

- Data: {data_name}, {train_images:,} training images, {test_images:,} test images.
- Licence of the data: {licence}.
- Pixels: {binarization}; this happens inside the model. p(x|z): {likelihood}.
- Versions: {versions}{commit}.

## Numbers

{numbers}

## Use it

TensorFlow alone is needed. In the folder of this file:

```python
import tensorflow as tf

model = tf.saved_model.load(".")
images = model.sample(num=16, seed=[1, 2])["images"]
codes = model.encode(images)  # also: decode(latents), reconstruct(images), score(images, seed)
print(images.shape, codes["mean"].shape)
```

| signature | arguments | returns |
| --- | --- | --- |
{signatures}

B is the number of images in a batch, which is free. The same seed gives the same images. Images
go in as grey levels in [0, 1], bright on dark; the results of `score` are in nats per image.
`sample` makes {largest:,} images at most in one call. All settings are in `model.json`.

## Limits

The model knows nothing but images like those it was trained on, of {height} x {width} pixels and
{channels} channel(s). Its samples are blurred where {latent_dim} latent dimensions cannot say more.
A score compares images under this model; it is no probability of being an anomaly.
"""


def render(
    metadata: dict[str, Any],
    signatures: dict[str, tf.types.experimental.ConcreteFunction],
    largest_sample: int,
) -> str:
    """Writes the card of a model.

    Args:
        metadata: the contents of its `model.json`.
        signatures: its functions by name.
        largest_sample: images that `sample` makes at most.

    Returns:
        Markdown.
    """
    config, data = metadata["config"], metadata["data"]
    height, width, channels = data["image_shape"]
    commit = metadata["git_commit"]
    return _CARD.format(
        height=height,
        width=width,
        channels=channels,
        network=config["network"],
        latent_dim=config["latent_dim"],
        epochs=config["epochs"],
        data_name=data["name"],
        train_images=data["train_images"],
        test_images=data["test_images"],
        licence=_LICENCES.get(data["name"], "that of the images, which are not part of cvae-tf"),
        binarization=metadata["binarization"],
        likelihood=config["likelihood"].replace("_", " "),
        versions=", ".join(f"{name} {version}" for name, version in metadata["versions"].items()),
        commit=f", cvae-tf at commit {commit[:10]}" if commit else "",
        numbers=_numbers(metadata["metrics"], config),
        signatures="\n".join(_row(name, function) for name, function in signatures.items()),
        largest=largest_sample,
    )


def _numbers(metrics: dict[str, float] | None, config: dict[str, Any]) -> str:
    if metrics is None:
        return "Exported before the end of the first epoch: there are none."
    names = term_names(config["binarize"], config["likelihood"])
    means = {term: f"{metrics[f'test_{name}']:.2f}" for term, name in names.items()}
    text = (
        f"After epoch {metrics['epoch']}, mean over the test images, nats per image, by one "
        "posterior sample each:\n\n"
    )
    if names["elbo"] != "elbo":
        return (
            f"{text}- negative cross-entropy of the grey levels {means['log_likelihood']}; it is "
            f"no log-likelihood,\n- minus KL(q(z|x) || p(z)) {means['kl']},\n"
            f"- together {means['elbo']}; higher is better, but it bounds no log p(x)."
        )
    return (
        f"{text}- ELBO {means['elbo']}: a lower bound on log p(x); higher is better;\n"
        f"- of which log-likelihood log p(x|z) {means['log_likelihood']}\n"
        f"- minus KL(q(z|x) || p(z)) {means['kl']}."
    )


def _row(name: str, function: tf.types.experimental.ConcreteFunction) -> str:
    arguments, _ = function.structured_input_signature
    results = function.structured_outputs
    outputs = [tf.TensorSpec(value.shape, value.dtype, key) for key, value in results.items()]
    return f"| `{name}` | {_describe(arguments)} | {_describe(outputs)} |"


def _describe(specs: Iterable[tf.TensorSpec]) -> str:
    parts = []
    for spec in specs:
        sides = ["B" if side is None else str(side) for side in spec.shape]
        parts.append(f"`{spec.name}` {spec.dtype.name} [{', '.join(sides)}]")
    return ", ".join(parts)
