"""What is learned: families of models by name, their networks, their mathematics.

A family of your own joins by `FAMILIES["mine"] = MyFamily()`.
"""

from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.family import Family
from cvae_tf.models.gan.family import GanFamily
from cvae_tf.models.vae.family import VaeFamily

FAMILIES: dict[str, Family] = {"vae": VaeFamily(), "gan": GanFamily()}


def family_of(model: GenerativeModel) -> Family:
    """Finds the family of a model; of two that fit the one that joined later.

    Raises:
        TypeError: if there is none.
    """
    for family in reversed(FAMILIES.values()):
        if isinstance(model, family.model_class):
            return family
    raise TypeError(f"{type(model).__name__} belongs to no family in FAMILIES.")
