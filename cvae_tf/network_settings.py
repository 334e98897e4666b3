"""Which networks a run has: settings that only some of them know, and their checks."""

import dataclasses
from typing import Any

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import setting

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu")

_MOST_UNITS = 10**5  # of a dense layer
_OF_SOME = ("hidden", "activation", "dropout")  # settings that only some networks have


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The settings of encoder and decoder."""

    network: str = setting("Encoder and decoder.", choices=registry.NETWORKS)
    hidden: str | None = setting(
        "Units of its dense layers from the image to the code, such as 512,256; by default as the "
        "network has them.",
        None,
    )
    activation: str | None = setting(
        "Between its layers; by default as the network has it.", None, choices=ACTIVATIONS
    )
    dropout: float = setting(
        "Share of its features that are left out in training.", 0.0, least=0, most=0.9
    )
    conditional: bool = setting(
        "Labels join the networks: the model then draws images of the class asked for.", False
    )

    def check_network(self) -> None:
        """Refuses what the network, or the family of the model, does not have.

        Raises:
            UserError: naming the first setting that would do nothing, or cannot be read.
        """
        if self.hidden is not None:
            self._check_hidden()
        table, family = registry.NETWORKS, registry.FAMILIES[self.model]
        if self.conditional and not family.takes_labels:
            raise UserError(f"--conditional: --model={self.model} knows no labels.")
        fitting = registry.networks_of(family)
        if self.network not in fitting:
            raise UserError(
                f"--network={self.network} is no {family.pair}; for --model={self.model} there "
                f"are {', '.join(fitting)}."
            )
        for name in (name for name in _OF_SOME if getattr(self, name) not in (None, 0)):
            if not family.takes_network_settings:
                raise UserError(f"--{name} does nothing with --model={self.model}.")
            if name not in _settings_of(self.network):
                users = [each for each in table if name in _settings_of(each)]
                raise UserError(
                    f"--{name} does nothing with --network={self.network}; it is for "
                    f"{', '.join(users)}."
                )

    def _check_hidden(self) -> None:
        parts = self.hidden.split(",")
        if not all(part.isdecimal() and 1 <= int(part) <= _MOST_UNITS for part in parts):
            raise UserError(
                f"--hidden={self.hidden}: must be numbers of units from 1 to {_MOST_UNITS}, such "
                "as 512,256."
            )


def _settings_of(network: str) -> tuple[str, ...]:
    """The settings that a network has; a plain `Entry`, as version 0.2 took it, has none."""
    return getattr(registry.NETWORKS[network], "settings", ())


def without_unknown(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what a preset says of its own network, if another one is asked for.

    Args:
        values: of settings, by name: of a preset, and those that were asked for.
        given: those that were asked for, which stay, to be refused if they do nothing.
    """
    known = _settings_of(values["network"])
    gone = [name for name in _OF_SOME if name not in known and name not in given]
    return {name: value for name, value in values.items() if name not in gone}
