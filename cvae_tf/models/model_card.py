"""The README.md beside an exported model: what it is, what its numbers mean, how to use it."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from cvae_tf.models.signature_parts import LARGEST_SAMPLE

_LICENCES = {  # of runs of version 0.1, which did not record them
    "MNIST": "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): CC BY-SA 3.0",
    "bundled digits": "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI): "
    "CC BY 4.0",
}
_LISTED = 20  # classes
_NO_NUMBERS = {  # by whether the model comes from a run
    True: "Exported before the end of the first epoch: there are none.",
    False: "None are known: it was exported without its run.",
}
_ABILITIES = {
    "sample": "draws new images",
    "encode": "finds the latents of images",
    "reconstruct": "reconstructs them",
    "score": "scores how usual they are",
    "infer": "finds better latents by the decoder",
}

_CARD = """# {title} of {height} x {width} images

Made by cvae-tf: {making}. It {abilities}.

{data}{pixels}- Versions: {versions}{commit}.

## Numbers

{numbers}

## Use it

TensorFlow alone is needed. In the folder of this file:

```python
import tensorflow as tf

model = tf.saved_model.load(".")
images = model.sample({example})["images"]
print(images.shape)
```

| signature | arguments | returns |
| --- | --- | --- |
{signatures}

B is the number of images in a batch, which is free. The same seed gives the same images. Images go
in as grey levels or colours in [0, 1], as they were in training. In one call `sample` makes
{largest:,} images at most.{labels}{p_values} All settings are in `model.json`.

## Limits

The model knows nothing but images like those it was trained on, of {height} x {width} pixels and
{channels} channel(s).{limits}
"""


def render(
    metadata: dict[str, Any],
    signatures: dict[str, tf.types.experimental.ConcreteFunction],
    numbers: str | None,
) -> str:
    """Writes the card of a model.

    Args:
        metadata: the contents of its `model.json`.
        signatures: its functions by name.
        numbers: what was measured of it, if an epoch has come to its end.

    Returns:
        Markdown.
    """
    data, is_of_run = metadata["data"], "name" in metadata["data"]
    height, width, channels = data["image_shape"]
    commit = metadata["git_commit"]
    return _CARD.format(
        title=_with_article(metadata["title"]),
        height=height,
        width=width,
        channels=channels,
        making=_describe_making(metadata["config"], metadata["metrics"]),
        abilities=_join(
            [metadata.get(name, what) for name, what in _ABILITIES.items() if name in signatures]
        ),
        data=_describe_data(data),
        pixels=f"- Pixels: {metadata['pixels']}.\n" if "pixels" in metadata else "",
        versions=", ".join(f"{name} {version}" for name, version in metadata["versions"].items()),
        commit=f", cvae-tf at commit {commit[:10]}" if commit else "",
        limits=f" {metadata['limits']}" if "limits" in metadata else "",
        numbers=numbers or _NO_NUMBERS[is_of_run],
        signatures="\n".join(_row(name, function) for name, function in signatures.items()),
        largest=LARGEST_SAMPLE,
        p_values=f" {metadata['p_values']}" if "p_values" in metadata else "",
        **_describe_labels(signatures, data),
    )


def _describe_making(config: dict[str, Any], metrics: dict[str, float] | None) -> str:
    """The network, the latents and the epochs, as far as they are known."""
    latents = f"{config['latent_dim']} latent dimensions"
    if "preset" not in config:
        return latents
    epochs = (metrics or config).get("epoch", config["epochs"])
    return f"{config['network']} network, {latents}, {epochs} epochs"


def _describe_data(data: dict[str, Any]) -> str:
    """Lines of a list, if the images are known."""
    if "name" not in data:
        return ""
    licence = data.get("licence") or _LICENCES.get(data["name"], "that of the images")
    return (
        f"- Data: {data['name']}, {data['train_images']:,} training images, "
        f"{data['test_images']:,} test images.\n- Licence of the data: {licence}.\n"
    )


def _describe_labels(signatures: dict[str, Any], data: dict[str, Any]) -> dict[str, str]:
    """An example of `sample`, and of a conditional model what its labels mean."""
    example = "num=16, seed=[1, 2]"
    arguments, _ = signatures["sample"].structured_input_signature
    if "labels" not in [spec.name for spec in arguments]:
        return {"example": example, "labels": ""}
    classes = ", ".join(f"{i}: {name}" for i, name in enumerate(data["class_names"][:_LISTED]))
    more = ", ..." if len(data["class_names"]) > _LISTED else ""
    return {
        "example": f"{example}, labels=[0] * 16",
        "labels": f" `labels` are numbers of classes, one for each image ({classes}{more}).",
    }


def _with_article(title: str) -> str:
    """Begins a heading with a title."""
    return f"{'An' if title[0] in 'aeiou' else 'A'} {title}"


def _join(parts: list[str]) -> str:
    """Joins parts of a sentence."""
    *some, last = parts
    return f"{', '.join(some)} and {last}" if some else last


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
