"""What all modes share, and the modes that begin with images: what a model makes of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed
from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.data.given_images import Images, class_numbers, read_asked_for
from cvae_tf.data.inspection import choose_shown
from cvae_tf.data.labels import MOST_LISTED, class_number
from cvae_tf.drawing import mosaics
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.anomalies import Scores, scores_of
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

_LARGEST_MOSAIC = 10_000  # images
_PROPOSAL_VALUES = 50_000_000  # pixels of the images that are tried to explain noisy ones
_FINE_P_VALUE = 0.01  # above it the smallest one is worth a word
_LEAST_NOISE = 0.05  # share of flipped pixels that noisy images have at least
_GREY_NOTE = (
    "This model is one of grey levels. To explain noise, its images and the noisy ones were "
    "compared as black and white, because noise here means flipped pixels."
)


class Generated(NamedTuple):
    """What was made."""

    files: list[Path]  # the one to look at first
    arrays: dict[str, np.ndarray]  # what they show, by name
    notes: tuple[str, ...] = ()  # what is to be known of them


def given_images(model: GenerativeModel, settings: GenerationSettings) -> Images:
    """Reads the images to work on: the given ones, or the model's own test images."""
    return read_asked_for(settings, model.image_shape, model.metadata)


def spread_out(images: Images, num: int) -> Images:
    """Picks some of the images: of all classes, from the whole set, in its order."""
    return pick(images, np.sort(choose_shown(images.labels, len(images.pixels), num)))


def pick(images: Images, numbers: np.ndarray | list[int]) -> Images:
    """Picks images by their numbers."""
    return images._replace(
        pixels=images.pixels[numbers],
        labels=None if images.labels is None else images.labels[numbers],
        names=[images.names[number] for number in numbers],
    )


def one_image(images: Images, index: int, setting: str) -> Images:
    """Picks one image; raises a UserError that names the setting if there is no such image."""
    num = len(images.pixels)
    if index >= num:
        raise UserError(f"--{setting}={index}: there are {num} images, counted from 0.")
    return pick(images, [index])


def classes_of(model: GenerativeModel, images: Images) -> np.ndarray | None:
    """The classes of images as a conditional model takes them, int32 [N]; None for another.

    Raises:
        UserError: if it needs labels and there are none, or others than it knows.
    """
    return class_numbers(images, model.class_names) if model.num_classes else None


def class_asked_for(model: GenerativeModel, settings: GenerationSettings) -> int | None:
    """The number of the class that `label` names; None if it is not given.

    Raises:
        UserError: if the model knows no labels, or not this one.
    """
    label = settings.label
    if label is None:
        return None
    if not model.num_classes:
        raise UserError(
            f"--label={label}: this model knows no labels; train one with --conditional."
        )
    number = class_number(label, model.class_names)
    if number is None:
        raise no_such_label(label, model.class_names)
    return number


def show(path: Path, panel: Panel, settings: GenerationSettings, **arrays: np.ndarray) -> Generated:
    """Draws the picture of a mode, as all modes do; `arrays` are what it shows, by name."""
    return Generated([mosaics.draw_panel(path, panel, settings.plain)], arrays)


def count(num: int, what: str) -> str:
    """A number with what is counted, such as "1 sample" or "10,000 samples"."""
    return f"{num:,} {what}{'' if num == 1 else 's'}"


def of_class(label: str | None) -> str:
    """How titles name the class that is asked for."""
    return f"of class {label}"


def spread_of(settings: GenerationSettings) -> str:
    """How titles tell of a spread other than the usual one."""
    return "" if settings.spread == 1 else f", {settings.spread:g} times as wide"


def called(images: Images) -> str:
    """How titles name the first image: its file, or its number."""
    name = images.names[0]
    return f"image {name}" if name.isdecimal() else name


def labels_of(label: int | None, num: int) -> np.ndarray | None:
    """The number of a class once for each of so many images; None for None."""
    return None if label is None else np.full(num, label)


def no_such_label(label: str | None, known: tuple[str, ...]) -> UserError:
    """The error of a label that is unknown, or None where one is needed."""
    fault = " is needed" if label is None else f"={label}: unknown"
    return UserError(f"--label{fault}; choose from {listed(known, MOST_LISTED)}.")


def num_shown(settings: GenerationSettings) -> int:
    """The number of images for a picture; raises a UserError if they are too many for one."""
    if settings.num > _LARGEST_MOSAIC:
        raise UserError(
            f"--num={settings.num}: a picture shows {_LARGEST_MOSAIC} images at most; "
            "--mode=samples --individual writes any number of files."
        )
    return settings.num


def posterior_of(
    model: GenerativeModel, images: Images, settings: GenerationSettings
) -> Posterior | FullPosterior:
    """Finds the posteriors of images: the encoder's, or refined ones if that is asked for."""
    labels = classes_of(model, images)
    if settings.refine:
        return model.refine(images.pixels, labels, steps=settings.refine)
    return model.encode(images.pixels, labels)


def around(
    model: GenerativeModel, images: Images, settings: GenerationSettings, purpose: Purpose
) -> np.ndarray:
    """Draws an image of latents about the posterior mean, `spread` deviations wide, of each image.

    Raises:
        UserError: if the model has no deviations.
    """
    posterior = posterior_of(model, images, settings)
    if posterior.logvar is None:
        raise UserError("This model encodes without noise: there is nothing around an image.")
    noise = numpy_generator(settings.seed, purpose).standard_normal(posterior.mean.shape)
    latents = np.asarray(posterior.sample(settings.spread * noise.astype(np.float32)))
    return model.decode(latents, classes_of(model, images))


def usual_latents(model: GenerativeModel, num: int, seed: int, purpose: Purpose) -> np.ndarray:
    """Draws latents [num, Z] as samples have them: from the prior, or from a fitted mixture."""
    if "sample_latents" in model.abilities:
        return model.sample_latents(num, derived_key(seed, purpose)).numpy()
    return numpy_generator(seed, purpose).standard_normal((num, model.latent_dim))


def in_all_classes(model: GenerativeModel, latents: np.ndarray) -> np.ndarray:
    """Decodes latents [N, Z] of a conditional model as images of each class, [N, Y, H, W, C]."""
    num_classes = len(model.class_names)
    labels = np.tile(np.arange(num_classes), len(latents))
    images = model.decode(np.repeat(latents, num_classes, axis=0), labels)
    return images.reshape(len(latents), num_classes, *images.shape[1:])


def make_reconstructions(
    model: GenerativeModel, settings: GenerationSettings, output: Path
) -> Generated:
    """Reconstructs images of all classes; with `refine`, in both ways."""
    originals = spread_out(given_images(model, settings), num_shown(settings))
    images = model.reconstruct(originals.pixels, classes_of(model, originals))
    arrays, path = {"originals": originals.pixels, "images": images}, output / "reconstructions.png"
    if settings.refine:
        panel, more = _in_both_ways(model, originals, images, settings)
        return show(path, panel, settings, **arrays | more)
    title, names = "Each image over its reconstruction", ("image", "reconstruction")
    panel = Panel(title, [originals.pixels, images], row_names=names)
    return show(path, panel, settings, **arrays)


def _in_both_ways(
    model: GenerativeModel,
    originals: Images,
    encoders: np.ndarray,
    settings: GenerationSettings,
) -> tuple[Panel, dict[str, np.ndarray]]:
    """Originals, the encoder's reconstructions and refined ones, with log-likelihoods."""
    images, labels = originals.pixels, classes_of(model, originals)
    means = model.encode(images, labels).mean, posterior_of(model, originals, settings).mean
    refined, measure = model.decode(means[1], labels), model.pixels.terms["log_likelihood"]
    pixels = model.pixels.binarize_mode(tf.constant(images, tf.float32))
    values = [
        model.pixels.likelihood.log_prob(pixels, model.parameters(mean, labels)).numpy()
        for mean in means
    ]
    captions = [np.full(len(images), ""), *(np.array([f"{v:.0f}" for v in own]) for own in values)]
    title = f"Each image over its reconstruction and a refined one; {measure.title} in nats"
    names = "image", "reconstruction", "refined"
    panel = Panel(title, [images, encoders, refined], row_names=names, captions=captions)
    found = {"images": refined, "encoders_images": encoders}
    return panel, {**found, f"encoders_{measure.name}": values[0], measure.name: values[1]}


def make_neighbours(
    model: GenerativeModel, settings: GenerationSettings, output: Path
) -> Generated:
    """Draws one image, then decoded samples around its posterior."""
    image = one_image(given_images(model, settings), settings.index, "index")
    repeated = pick(image, [0] * num_shown(settings))
    images = around(model, repeated, settings, Purpose.NEIGHBOURS)
    title = (
        f"{called(image).capitalize()}, top left, and {count(len(images), 'decoded sample')} of "
        f"its posterior{spread_of(settings)}"
    )
    panel = Panel(title, [np.concatenate([image.pixels, images])])
    return show(output / "neighbours.png", panel, settings, original=image.pixels, images=images)


def make_transfer(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws the style of images in every class; a gap stands behind the originals.

    As many rows as `num` images fill, at least one.
    """
    rows = max(num_shown(settings) // (len(model.class_names) + 1), 1)
    originals = spread_out(given_images(model, settings), rows)
    latents = model.encode(originals.pixels, classes_of(model, originals)).mean
    images = in_all_classes(model, latents)
    first = originals.pixels[:, np.newaxis]
    table = np.concatenate([first, np.ones_like(first), images], axis=1)
    title = f"The style of {count(rows, 'image')} in every class"
    names = {"column_names": ("image", "", *model.class_names)}
    panel = Panel(title, [np.concatenate(table)], table.shape[1], **names)
    arrays = {"originals": originals.pixels, "images": images}
    return show(output / "transfer.png", panel, settings, **arrays)


def make_denoised(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Explains noisy images; with `noise`, clean ones whose pixels are flipped first."""
    given = spread_out(given_images(model, settings), num_shown(settings))
    clean = given.pixels
    chances = numpy_generator(settings.seed, Purpose.FLIPPED_PIXELS).random(clean.shape)
    noisy = np.where(chances < settings.noise, 1 - clean, clean)
    images = _explained(model, given._replace(pixels=noisy), settings)
    sets, title = {"noisy": noisy, "denoised": images}, f"{count(len(noisy), 'noisy image')}"
    if settings.noise:
        sets = {"clean": clean, **sets}
        title = f"{count(len(clean), 'image')}, with {settings.noise:.0%} of the pixels flipped"
    title += ", and what the model makes of them"
    panel = Panel(title, [*sets.values()], row_names=[*sets])
    is_grey = model.metadata.get("config", {}).get("binarize") == "none"
    made = show(output / "denoised.png", panel, settings, noisy=noisy, images=images)
    return made._replace(notes=(_GREY_NOTE,) if is_grey else ())


def _explained(model: GenerativeModel, given: Images, settings: GenerationSettings) -> np.ndarray:
    """Averages decoded images by the probability that a noisy image is theirs with pixels flipped.

    The encoder has never seen noise; latents from the prior are tried beside what it proposes.
    Whatever the likelihood, pixels are compared as black and white, because that is what a flip is.
    """
    num_pixels = int(np.prod(model.image_shape))
    num_proposals = int(np.clip(_PROPOSAL_VALUES // num_pixels, 256, 4096))
    random = numpy_generator(settings.seed, Purpose.DENOISING_PROPOSALS)
    prior = random.standard_normal((num_proposals, model.latent_dim))
    latents = np.concatenate([prior, posterior_of(model, given, settings).mean])
    noisy, labels = given.pixels, classes_of(model, given)
    if labels is not None:  # of what is drawn from the prior all classes
        labels = np.concatenate([model.labels_in_turn(num_proposals), labels])
    decoded = model.decode(latents, labels)
    flat = decoded.reshape(-1, num_pixels)
    rate = max(settings.noise, _LEAST_NOISE)
    white = rate + (1 - 2 * rate) * flat
    pixels = (noisy > 0.5).reshape(-1, num_pixels).astype(np.float32)
    log_likelihood = pixels @ np.log(white).T + (1 - pixels) @ np.log(1 - white).T
    weights = tf.nn.softmax(log_likelihood, axis=1).numpy()
    return (weights @ flat).reshape(noisy.shape)


def make_latents(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Writes the posteriors and scores of all images as `latents.npz` and `latents.csv`."""
    images = given_images(model, settings)
    posterior = posterior_of(model, images, settings)
    name = model.main_score.name
    scores = model.score(images.pixels, settings.seed, classes_of(model, images))[name]
    arrays = {"mean": posterior.mean, "logvar": posterior.logvar, name: scores}
    columns = {"name": images.names}
    if images.labels is not None:
        columns["label"] = images.shown_labels
    columns[f"{name}_nats"] = scores.tolist()
    for part in ("mean", "logvar"):
        columns |= {f"{part}_{i}": values.tolist() for i, values in enumerate(arrays[part].T, 1)}
    archive, table = output / "latents.npz", output / "latents.csv"
    more = {"label": columns["label"]} if "label" in columns else {}
    if isinstance(posterior, FullPosterior):
        more["covariance"] = np.asarray(posterior.covariance)
    with files.replacing(archive) as temporary:
        np.savez(temporary, **arrays, **more)
    files.write_table(table, list(columns), zip(*columns.values(), strict=True))
    return Generated([archive, table], arrays)


def make_anomalies(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Finds the images with the lowest scores, and what share of usual images has lower ones."""
    _check_false_alarms(model, settings)
    images = given_images(model, settings)
    found = scores_of(model, images.pixels, classes_of(model, images), settings.score)
    order = np.argsort(np.where(np.isnan(found.values), -np.inf, found.values), kind="stable")
    table, path = output / "anomalies.csv", output / "anomalies.png"
    columns = {"name": images.names, **_columns(found, settings.false_alarms)}
    files.write_table(table, list(columns), ([all_[i] for all_ in columns.values()] for i in order))
    worst = order[: num_shown(settings)]
    captions = [f"{called(pick(images, [i]))}\n{_caption(found, i)}" for i in worst]
    title = (
        f"The {f'{len(worst)} ' if len(worst) > 1 else ''}most unusual of "
        f"{count(len(order), 'image')}: {found.measure.title} in {_unit(found)}"
        f"{'' if found.p_values is None else ', p-value'}"
    )
    arrays = {"scores": found.values, "images": images.pixels[worst]}
    shown = arrays["images"]
    if found.p_values is not None:
        arrays["p_values"] = found.p_values
    if found.heat_maps is not None:
        arrays["heat_maps"] = found.heat_maps[worst]
        shown = mosaics.beside_heat(shown, arrays["heat_maps"])
        title += ". Red: where an image is unusual"
    made = show(path, Panel(title, [shown], captions=[np.array(captions)]), settings, **arrays)
    notes = tuple(_notes(found, settings, model.smallest_p_value))
    return made._replace(files=[path, table], notes=notes)


def _check_false_alarms(model: GenerativeModel, settings: GenerationSettings) -> None:
    """Raises a UserError if images are to be marked at a rate that the model cannot tell."""
    rate, least = settings.false_alarms, model.smallest_p_value
    if rate is None:
        return
    if least is None or settings.score == "elbo":
        raise UserError(
            "--false_alarms: needs --score=relative, of a VAE whose run is finished (train.py "
            "--resume)."
        )
    if rate < least:
        raise UserError(
            f"--false_alarms={rate:g}: with {_num_usual(least)} usual images to compare with, the "
            f"smallest rate that can be told is {least:.2g}."
        )


def _num_usual(least: float) -> str:
    """How many usual images there are if this is the smallest p-value."""
    return f"{round(1 / least) - 1:,}"


def _columns(found: Scores, false_alarms: float | None) -> dict[str, list[str]]:
    """What the table says of each image."""
    kind = "" if found.p_values is None else "relative_"
    name = f"{kind}{found.measure.name}_{_unit(found)}"
    columns = {name: [f"{value:.3f}" for value in found.values]}
    if found.p_values is not None:
        columns["p_value"] = [f"{value:.5f}" for value in found.p_values]
    if false_alarms is not None:
        columns["marked"] = ["yes" if p <= false_alarms else "no" for p in found.p_values]
    return columns


def _unit(found: Scores) -> str:
    return found.measure.unit.split()[0]


def _caption(found: Scores, number: int) -> str:
    score = f"{found.values[number]:.0f}"
    return score if found.p_values is None else f"{score}, p {found.p_values[number]:.2g}"


def _notes(found: Scores, settings: GenerationSettings, least: float | None) -> Iterator[str]:
    """What is to be known of p-values, none of which is below the `least`."""
    if found.p_values is not None and least > _FINE_P_VALUE:
        yield (
            f"With {_num_usual(least)} usual images to compare with, no p-value is below "
            f"{least:.2g}: as low scores as theirs may be chance."
        )
    if settings.false_alarms is not None:
        share = np.mean(found.p_values <= settings.false_alarms)
        yield (
            f"{round(share * len(found.values)):,} of {len(found.values):,} images are marked, "
            f"{share:.2%}; of usual images at most {settings.false_alarms:.2%} is expected."
        )
    if found.p_values is not None and not settings.names_images:
        yield (
            "Other images are compared with these test images, so their own p-values only rank "
            "them. --data_path names other images."
        )
