"""Who is evaluated: a run or an exported model, by what can be found out of it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cvae_tf.core import messages
from cvae_tf.core.errors import UserError
from cvae_tf.evaluation import distance, drawing_model, evaluated_model, evaluating
from cvae_tf.evaluation.distance import Distance
from cvae_tf.evaluation.drawing_model import DrawingModel
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.evaluation.evaluating import Evaluation
from cvae_tf.evaluation.settings import MEASURES, OF_MEASURE, EvaluationSettings
from cvae_tf.exporting import loading, model_json
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.families import family_of
from cvae_tf.training import building

_USUAL = EvaluationSettings()


class Subject(NamedTuple):
    """A model under evaluation."""

    title: str
    measures: tuple[str, ...]  # those of `settings.MEASURES` that it allows
    with_likelihood: Callable[[], EvaluatedModel]
    as_drawing: Callable[[], DrawingModel]

    def chosen(self, settings: EvaluationSettings) -> tuple[str, ...]:
        """What is to be found out.

        Args:
            settings: `measures` is one of `settings.MEASURES`, or "auto" for all that the model
                allows and that looks at the images asked for.

        Raises:
            UserError: if it does not allow it, or settings would do nothing.
        """
        asked = settings.measures
        if asked == "auto" and "likelihood" in self.measures and settings.data_path:
            asked = "likelihood"  # drawn images are compared with the model's own ones alone
        measures = self.measures if asked == "auto" else (asked,)
        if not measures or not set(measures) <= set(self.measures):
            what = "likelihood" if asked == "auto" else asked
            instead = f"; it has --measures={self.measures[0]}" if self.measures else ""
            raise UserError(f"This model ({self.title}) has no {what} to evaluate{instead}.")
        self._check(settings, measures)
        return measures

    @staticmethod
    def _check(settings: EvaluationSettings, measures: tuple[str, ...]) -> None:
        """Refuses what does nothing: it belongs to a measure that is not asked for."""
        for name, of in OF_MEASURE.items():
            if of not in measures and getattr(settings, name) != getattr(_USUAL, name):
                raise UserError(
                    f"--{name} is for --measures={of} alone; here {measures[0]} is measured."
                )


def evaluate(subject: Subject, settings: EvaluationSettings) -> Evaluation | Distance:
    """Finds out what is asked for.

    Args:
        subject: the model.
        settings: what, of which images, how exactly.

    Returns:
        The evaluation, with the distance if that was asked for; or the distance alone.

    Raises:
        UserError: if the model or the images do not allow it.
    """
    measures = subject.chosen(settings)
    if "likelihood" not in measures:
        return distance.measure(subject.as_drawing(), settings)
    found = evaluating.evaluate(subject.with_likelihood(), settings)
    if "distance" in measures:
        try:
            found = found._replace(distance=distance.measure(subject.as_drawing(), settings))
        except UserError as error:  # what was found before is not to be lost
            messages.warn(f"drawn images are not compared with real ones: {error}")
    return found


def of(model: LoadedModel | str | Path) -> Subject:
    """Loads the newest checkpoint of a run, or an exported model.

    Raises:
        UserError: if there is none.
    """
    home = loading.run_of(model)
    return from_run(str(home)) if home else from_saved_model(loading.as_loaded(model))


def from_run(run_dir: str) -> Subject:
    """Loads the newest checkpoint of a run.

    Raises:
        UserError: if there is no run or no good checkpoint in it.
    """
    trained = building.load_trained(run_dir)
    model = trained.model
    metadata = model_json.describe(trained.run, model, trained.metrics)
    return Subject(
        family_of(model).title,
        tuple(name for name in MEASURES if name in family_of(model).evaluations),
        lambda: evaluated_model.from_model(model.for_inference(), metadata),
        lambda: drawing_model.of_model(model, metadata),
    )


def from_saved_model(model: LoadedModel) -> Subject:
    """Takes an exported model."""
    has_likelihood = {"encode", "parameters"} <= set(model.abilities)
    is_older = "encode" in model.abilities and not has_likelihood  # which says what to do then
    return Subject(
        model.metadata.get("title", "exported model"),
        MEASURES if has_likelihood or is_older else MEASURES[1:],
        lambda: evaluated_model.from_saved_model(model),
        lambda: drawing_model.of_loaded(model),
    )
