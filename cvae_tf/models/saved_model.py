"""How a model leaves the program: its signatures, and the SavedModel with its card.

A SavedModel needs TensorFlow alone. The signatures of all families are here, `sample` and `decode`,
and helpers to make others: they check their arguments and take empty batches too.
"""

import inspect
import subprocess
from collections.abc import Callable, Iterable
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import tensorflow as tf

from cvae_tf import models
from cvae_tf.core import files
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.tensorflow_setup import quiet_logging
from cvae_tf.models.arrays import Endpoint, class_checks, grey_checks, traced_signature

LARGEST_SAMPLE = 10_000  # a gigabyte for one feature map of the tutorial's decoder
SEED = tf.TensorSpec([2], tf.int32, "seed")

Signature = tuple[Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]
Signatures = dict[str, Signature]  # by name: a function, and its arguments

_PACKAGES = ("tensorflow", "keras", "numpy")
_LISTED = 20  # classes
_NO_NUMBERS = {  # by whether the model comes from a run
    True: "Exported before the end of the first epoch: there are none.",
    False: "None are known: it was exported without its run.",
}
_CARD = """# {title} of {height} x {width} images

Made by cvae-tf: {making}.

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


# Signatures.


def decoding_signatures(model: Any) -> Signatures:
    """The signatures `sample` and `decode` of any `GenerativeModel`."""
    num = tf.TensorSpec([], tf.int32, "num")

    def sample(num: tf.Tensor, seed: tf.Tensor, *labels: tf.Tensor) -> dict[str, tf.Tensor]:
        fits = tf.debugging.Assert(
            (num >= 0) & (num <= LARGEST_SAMPLE),
            [f"num must be from 0 to {LARGEST_SAMPLE}; ask in parts, with other seeds. Got", num],
        )
        with tf.control_dependencies([fits]):
            key = derived_key(seed, Purpose.SAMPLES)
            drawn = model.sample(tf.maximum(num, 1), key, _checked_labels(model, labels, num))
            return {"images": drawn[:num]}

    def decode(latents: tf.Tensor, labels: tf.Tensor | None) -> dict[str, tf.Tensor]:
        return {"images": model.decode(latents, labels)}

    return {
        "sample": _with_label_argument(model, sample, [num, SEED]),
        "decode": batch_signature(model, "latents", decode),
    }


def batch_signature(
    model: Any, batch: str, function: Callable[..., dict[str, tf.Tensor]], *others: tf.TensorSpec
) -> Signature:
    """A signature that takes a batch, also an empty one, and refuses what does not fit.

    Args:
        model: a `GenerativeModel`.
        batch: "images" or "latents".
        function: of a batch of at least one, its labels (None if the model knows none), and
            `others`; it returns results by name, [B, ...].
        others: what else it takes.
    """
    shape = {"images": model.image_shape, "latents": (model.latent_dim,)}[batch]

    def checked(values: tf.Tensor, *rest: tf.Tensor) -> dict[str, tf.Tensor]:
        num, more = tf.shape(values)[0], len(others)
        labels = _checked_labels(model, rest[more:], num)
        if batch == "images":
            checks = grey_checks(values)
        else:
            checks = [tf.debugging.assert_all_finite(values, "latents must be finite.")]
        with tf.control_dependencies(checks):
            results = function(_at_least_one(values), labels, *rest[:more])
        return {name: result[:num] for name, result in results.items()}

    spec = tf.TensorSpec([None, *shape], tf.float32, batch)
    return _with_label_argument(model, checked, [spec, *others])


def _with_label_argument(
    model: Any, function: Callable[..., Any], arguments: list[tf.TensorSpec]
) -> Signature:
    """Names the arguments of a function; a conditional model takes `labels` after them."""
    if model.num_classes:
        arguments = [*arguments, tf.TensorSpec([None], tf.int32, "labels")]
    return _named(function, arguments), arguments


def _named(function: Callable[..., Any], arguments: list[tf.TensorSpec]) -> Callable[..., Any]:
    """A function whose arguments have these names."""

    def named(*values: tf.Tensor) -> Any:
        return function(*values)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(spec.name, kind) for spec in arguments]
    named.__signature__ = inspect.Signature(parameters)
    return named


def _checked_labels(model: Any, labels: tuple[tf.Tensor, ...], num: tf.Tensor) -> tf.Tensor | None:
    """The labels that a signature was given, if any; refuses unknown classes."""
    if not labels:
        return None
    with tf.control_dependencies(class_checks(labels[0], num, model.num_classes)):
        return _at_least_one(labels[0])


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
    """Adds a row of zeros to an empty batch, because some kernels refuse those."""
    missing = tf.cast(tf.shape(batch)[0] == 0, tf.int32)
    return tf.pad(batch, [[0, missing]] + [[0, 0]] * (batch.shape.rank - 1))


# The SavedModel.


def export(model: Any, directory: str | Path) -> None:
    """Writes the SavedModel of any model, with what is known about it, into a new directory.

    Raises:
        UserError: if there is something at that path, or it cannot be written.
    """
    data: dict[str, Any] = {"image_shape": list(model.image_shape)}
    if model.num_classes:
        data["class_names"] = list(model.class_names)
    metadata = describe(model, model.metadata.get("config"), model.metadata.get("data", data))
    with files.replacing_directory(Path(directory), must_be_new=True) as temporary:
        write(model, temporary, metadata)
        files.write_json(temporary / "model.json", metadata)


def write(model: Any, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes signatures and `README.md` into an empty directory; `metadata` as by `describe`."""
    model, exported = model.for_inference(), tf.train.Checkpoint()
    parts = *model.networks.values(), *model.fitted_parts.values()
    exported.variables = [variable for part in parts for variable in part.variables]
    # For what else layers of one's own hold, such as tables.
    exported.layers = [each for network in model.networks.values() for each in network.layers]
    endpoints = {name: traced_signature(model, name) for name in model.abilities}
    for name, (function, arguments, _) in endpoints.items():
        # A call, which checks its arguments: the function itself would be traced once more.
        calling = tf.function(_named(function, arguments), arguments, autograph=False)
        setattr(exported, name, calling)
    functions = {name: each.function for name, each in endpoints.items()}
    functions["serving_default"] = next(iter(functions.values()))
    with quiet_logging():
        tf.saved_model.save(exported, str(directory), functions)
    (directory / "README.md").write_text(render_card(metadata, endpoints), encoding="utf-8")


def describe(
    model: Any,
    config: dict[str, Any] | None,
    data: dict[str, Any],
    metrics: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Collects the contents of `model.json`: how a model was made.

    Args:
        model: the model.
        config: the settings it was made with; by default those that it knows itself.
        data: what is known about its images, at least their `image_shape`.
        metrics: the last row of its `metrics.csv`.
    """
    family = models.family_of(model)
    described = family.describe(model, metrics)
    return {
        "title": family.title,
        **described,
        "config": config or described["config"],
        "data": data,
        "measures": [measure._asdict() for measure in family.test_measures(model)],
        "metrics": metrics,
        "versions": {name: packages.version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of this source code, or None if git does not track this very file."""
    return _git("rev-parse", "HEAD") if _git("ls-files", Path(__file__).name) else None


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


# The card: what the model is, what its numbers mean, how to use it.


def render_card(metadata: dict[str, Any], signatures: dict[str, Endpoint]) -> str:
    """Writes the card of a model in Markdown, from its `model.json` and signatures."""
    data, commit = metadata["data"], metadata["git_commit"]
    height, width, channels = data["image_shape"]
    title = metadata["title"]
    return _CARD.format(
        title=f"{'An' if title[0] in 'aeiou' else 'A'} {title}",
        height=height,
        width=width,
        channels=channels,
        making=_describe_making(metadata["config"], metadata["metrics"]),
        data=_describe_data(data),
        pixels=f"- Pixels: {metadata['pixels']}.\n" if "pixels" in metadata else "",
        versions=", ".join(f"{name} {version}" for name, version in metadata["versions"].items()),
        commit=f", cvae-tf at commit {commit[:10]}" if commit else "",
        limits=f" {metadata['limits']}" if "limits" in metadata else "",
        numbers=metadata.get("numbers") or _NO_NUMBERS["name" in data],
        signatures="\n".join(
            f"| `{name}` | {_described(each.arguments)} | {_described(each.results)} |"
            for name, each in signatures.items()
        ),
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
    """A list in Markdown, if the images are known."""
    if "name" not in data:
        return ""
    return (
        f"- Data: {data['name']}, {data['train_images']:,} training images, "
        f"{data['test_images']:,} test images.\n"
        f"- Licence of the data: {data.get('licence') or 'that of the images'}.\n"
    )


def _describe_labels(signatures: dict[str, Endpoint], data: dict[str, Any]) -> dict[str, str]:
    """An example of `sample`, and for a conditional model what its labels mean."""
    example = "num=16, seed=[1, 2]"
    if "labels" not in [spec.name for spec in signatures["sample"].arguments]:
        return {"example": example, "labels": ""}
    classes = ", ".join(f"{i}: {name}" for i, name in enumerate(data["class_names"][:_LISTED]))
    more = ", ..." if len(data["class_names"]) > _LISTED else ""
    return {
        "example": f"{example}, labels=[0] * 16",
        "labels": f" `labels` are numbers of classes, one for each image ({classes}{more}).",
    }


def _described(specs: Iterable[tf.TensorSpec]) -> str:
    parts = []
    for spec in specs:
        sides = ["B" if side is None else str(side) for side in spec.shape]
        parts.append(f"`{spec.name}` {spec.dtype.name} [{', '.join(sides)}]")
    return ", ".join(parts)
