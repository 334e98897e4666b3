"""What must be known of the names in `registry.py` before their code is loaded."""

import dataclasses

from cvae_tf.core.tables import Entry


@dataclasses.dataclass(frozen=True)
class LikelihoodEntry(Entry):
    """A likelihood of pixels: a density of grey levels, or probabilities of what there can be."""

    is_density: bool = True
    is_of_levels: bool = False  # probabilities of the 256 grey levels, not of black and white

    @property
    def takes_grey(self) -> bool:
        """Whether pixels are grey levels as they are."""
        return self.is_density or self.is_of_levels


@dataclasses.dataclass(frozen=True)
class Network(Entry):
    """A pair of networks, and which settings of networks they have."""

    settings: tuple[str, ...] = ()
    pair: str = "encoder and decoder"


@dataclasses.dataclass(frozen=True)
class Mode(Entry):
    """Something that `generate.py` makes, the settings it looks at, the signatures it calls."""

    settings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("decode",)
    needs_without_classes: tuple[str, ...] = ()  # what else, of a model that is no conditional one
    needs_classes: bool = False  # whether the model must be a conditional one


@dataclasses.dataclass(frozen=True)
class Format(Entry):
    """A format of exported models, and the packages that writing it takes."""

    packages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Family(Entry):
    """A kind of model: a `models.family.Family`."""

    # The home of a function that refuses a `Config`, and the shape of images once it is known. It
    # does not need TensorFlow.
    check: str = ""
    # The home of one that chooses settings which were left to the images.
    complete: str = ""
    takes_labels: bool = False  # whether there are conditional models of it
    takes_network_settings: bool = False  # whether it gives them to its networks, and seeds dropout
    pair: str = "encoder and decoder"  # of which networks it is made
    preset: str | None = None  # its own, if those of the VAE are not for it
