"""How a chain turns inputs into features: encoded once and then collated, or preprocessed batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairchain.chain.calling import collate_with, encode_with, not_encoded
from pairchain.chain.chain import ModuleChain
from pairchain.chain.encoded import Encoded
from pairchain.chain.module import Features
from pairchain.facts import SCORES


@dataclass(frozen=True)
class Encoder:
    """Makes features in two steps if the chain's input module has ``encode`` and ``collate``, else batch by batch.

    Attributes:
        chain: The chain.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
    """

    chain: ModuleChain
    prompt: str | None
    keywords: Mapping[str, Any]

    def encode(self, inputs: Sequence[Any]) -> tuple[list[Encoded], bool]:
        """Return ``inputs``, and whether they are encoded: an input module may only take them batch by batch.

        Raises:
            InputError: An input cannot be scored; its index counts in ``inputs``.
        """
        # a preprocess of the chain's own decides alone how inputs become features
        if type(self.chain).preprocess is ModuleChain.preprocess:
            read_after = None if self.chain.may_read_more else frozenset({SCORES})
            encoded = encode_with(self.chain._modules, inputs, self.prompt, self.keywords, read_after)
            if encoded is not None:
                return encoded, True
        return not_encoded(self.chain.input_module, inputs, self.keywords), False

    def collate(self, items: Sequence[Encoded], *, are_encoded: bool) -> Features:
        """Return the features of some inputs that `encode` returned."""
        if are_encoded:
            return collate_with(self.chain.input_module, items)
        return self.chain.preprocess([item.values for item in items], prompt=self.prompt, **self.keywords)
