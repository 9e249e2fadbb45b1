"""Copies tokenizers of the tokenizers library without their large parts."""

from __future__ import annotations

from itertools import groupby

from tokenizers import Tokenizer

_COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "encode_special_tokens")


class Design:
    """The parts of a tokenizer of the tokenizers library, shared with the original."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.model = tokenizer.model
        self.components = {name: getattr(tokenizer, name) for name in _COMPONENTS}
        self.added = tokenizer.get_added_tokens_decoder()
        self.attributes = dict(vars(tokenizer))
        self.truncation = tokenizer.truncation
        self.padding = tokenizer.padding

    def build(self) -> Tokenizer:
        """Return a new tokenizer of this design."""
        made = Tokenizer(self.model)
        for name, component in self.components.items():
            if component is not None:
                setattr(made, name, component)
        # ids follow the order of adding
        in_order = [token for _, token in sorted(self.added.items(), key=lambda item: item[0])]
        for is_special, tokens in groupby(in_order, key=lambda token: bool(token.special)):
            (made.add_special_tokens if is_special else made.add_tokens)(list(tokens))
        vars(made).update(self.attributes)
        if self.truncation is not None:
            made.enable_truncation(**self.truncation)
        if self.padding is not None:
            made.enable_padding(**self.padding)
        return made
