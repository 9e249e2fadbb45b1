"""The backend ``packed``: known architectures, run without padding and without the transformers library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairchain.backends import Backend, Checkpoint, Support
from pairchain.errors import InputError
from pairchain_packed.families.entries import NotTakenError
from pairchain_packed.files import weights_of
from pairchain_packed.recipe import recipe_of

if TYPE_CHECKING:
    from torch import nn

    from pairchain.backends import Execution

_NAME = "packed"


class PackedBackend(Backend):
    """Loads models whose configuration and weights one of the tables in `families` describes completely."""

    reads_config = True
    auto_rank = 10

    def supports(self, checkpoint: Checkpoint) -> Support:
        """Return whether a table describes all of the checkpoint.

        Raises:
            FormatError: The header of a safetensors file is damaged.
        """
        try:
            checkpoint.kept[_NAME] = recipe_of(checkpoint)
        except NotTakenError as reason:
            return Support(str(reason))
        return Support(loads=weights_of(checkpoint.source))

    def load(self, checkpoint: Checkpoint, config: Any = None) -> tuple[nn.Module, Execution]:
        """Return the model with its weights, and the object that runs it.

        Raises:
            InputError: It does not support the checkpoint.
            FormatError: A file is damaged.
            SourceError: A file cannot be read.
        """
        from pairchain_packed.build import build

        try:
            recipe = checkpoint.kept.pop(_NAME, None) or recipe_of(checkpoint)
        except NotTakenError as reason:
            raise InputError(
                f"the backend 'packed' cannot load this model: {reason}.",
                where=str(checkpoint.source),
                argument="backend",
            ) from reason
        return build(checkpoint, recipe)
