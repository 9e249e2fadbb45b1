"""LogitScore: the log-odds of one token against another at the last position."""

from __future__ import annotations

from typing import Any

import torch

from pairchain import Module, Part
from pairchain.authoring import checked_feature, is_count
from pairchain.errors import ChainError, InputError


class LogitScore(Module):
    """Scores a pair by a language model's logits for the token that follows the pair.

    That is the next token of a causal model, or the first token of an encoder-decoder's answer, as in MonoT5 (Nogueira
    et al., 2020).

    The score is ``logit[true] - logit[false]``, the log-odds of the two tokens; without a false token, it is
    ``logit[true]``. Format: sentence-transformers ``cross_encoder.modules.LogitScore``.

    Args:
        true_token_id: The token for a pair that matches, such as "yes".
        false_token_id: The token for a pair that does not match, such as "no"; None to use only the true token.
        module_input_name: The feature with the logits, of shape (pairs, positions, vocabulary).

    Raises:
        InputError: An id is negative or not an integer, or the two ids are equal.
    """

    config_keys = ["true_token_id", "false_token_id", "module_input_name"]
    module_type = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    writes = frozenset({"scores"})
    is_thread_safe = True
    num_labels = 1

    def __init__(
        self,
        true_token_id: int,
        false_token_id: int | None = None,
        module_input_name: str = "causal_logits",
    ) -> None:
        super().__init__()
        for name, value in (("true_token_id", true_token_id), ("false_token_id", false_token_id)):
            if value is None and name == "false_token_id":
                continue
            if not is_count(value, least=0):
                raise InputError(f"{name} is {value!r}.", next_step="pass the id of a token: an integer from 0.")
        if true_token_id == false_token_id:
            # a vocabulary without either word maps both to its unknown token
            raise InputError(
                f"true_token_id and false_token_id are both {true_token_id}, so every score would be zero.",
                next_step="choose two tokens, or leave false_token_id out.",
            )
        self.true_token_id = int(true_token_id)
        self.false_token_id = None if false_token_id is None else int(false_token_id)
        self.module_input_name = checked_feature(module_input_name, "module_input_name")

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        """The feature that it reads."""
        return frozenset({self.module_input_name})

    @property
    def reads_part(self) -> dict[str, Part]:  # type: ignore[override]
        """The logits of its tokens at the last position."""
        return {self.module_input_name: Part("last", self._ids)}

    @property
    def _ids(self) -> tuple[int, ...]:
        return tuple(token for token in (self.true_token_id, self.false_token_id) if token is not None)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``scores`` of shape (pairs, 1), float32 or wider.

        Raises:
            ChainError: A token's id is not in the model's vocabulary.
        """
        part = self.reads_part[self.module_input_name].of(self.module_input_name)
        chosen = features[part] if part in features else self._chosen(features[self.module_input_name])
        if chosen.dtype.itemsize < 4:
            # in half precision, the difference of two close logits could take only a few values
            chosen = chosen.float()
        features["scores"] = chosen[:, :1] - chosen[:, 1:] if len(self._ids) == 2 else chosen
        return features

    def _chosen(self, logits: torch.Tensor) -> torch.Tensor:
        if max(self._ids) >= logits.shape[-1]:
            raise ChainError(
                f"LogitScore reads the token {max(self._ids)}, but {self.module_input_name!r} has {logits.shape[-1]} "
                "tokens.",
                next_step="take the ids from the tokenizer of the model in this chain.",
            )
        return logits[:, -1, list(self._ids)]

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration; there are no weights."""
        self.save_config(output_path)
