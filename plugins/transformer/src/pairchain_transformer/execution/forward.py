"""Calls a model with the features that it takes, and reads one field of its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pairchain.authoring import parameters_of
from pairchain.errors import ChainError
from pairchain_transformer.execution import endings

# Features for other modules; a model receives them only if its forward names them.
_NOT_FOR_MODELS = frozenset(
    """
    modality num_images_per_sample num_videos_per_sample prompt_length task offset_mapping
    overflow_to_sample_mapping special_tokens_mask
    """.split()
)
# Every model takes these, even if a wrapper hides them behind *args.
_ALWAYS_TAKEN = frozenset({"input_ids", "attention_mask", "token_type_ids", "inputs_embeds", "return_dict"})


def call(model: Any, method: str, features: Mapping[str, Any], output_path: Sequence[str]) -> Any:
    """Call ``method`` of ``model`` with the features that it takes, and return its output."""
    function: Any = getattr(model, method, None)
    if function is None:
        raise ChainError(f"{type(model).__name__} has no method {method!r}, which modality_config names.")
    is_forward = method == "forward"
    named = parameters_of(function)
    known = {parameter.name for parameter in named} | (_ALWAYS_TAKEN if is_forward else set())
    if is_forward and any(parameter.kind is parameter.VAR_KEYWORD for parameter in named):
        known |= features.keys() - _NOT_FOR_MODELS
    # one by one, so that a trace sees which features the model reads
    taken = {key: features[key] for key in features if key in known}
    if "return_dict" in known:
        taken["return_dict"] = True
    if "hidden_states" in output_path:
        taken["output_hidden_states"] = True
    if is_forward and "decoder_input_ids" in known - taken.keys() and _answers_by_decoder(model):
        taken["decoder_input_ids"] = _decoder_start(model, taken["input_ids"])
    if not is_forward:
        return function(**taken)
    return model(**taken) if endings.are_clear(model, taken) else endings.call(model, taken)


def _answers_by_decoder(model: Any) -> bool:
    """Return whether a model is an encoder-decoder with a language head; a classifier fills its decoder itself."""
    unwrapped = endings.unwrapped(model)
    return bool(model.config.is_encoder_decoder and unwrapped.can_generate())


def _decoder_start(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the token that a decoder begins with, for each input, shape (inputs, 1); its logits are the first answer.

    Raises:
        ChainError: The configuration names no such token.
    """
    for place in (getattr(model, "generation_config", None), model.config):
        if (start := getattr(place, "decoder_start_token_id", None)) is not None:
            return torch.full((len(ids), 1), start, dtype=ids.dtype, device=ids.device)
    raise ChainError(
        f"config.json of this {type(model).__name__} names no decoder_start_token_id, which its decoder begins with.",
        next_step="pass config_kwargs={'decoder_start_token_id': …}; for T5 it is the padding token's id.",
    )


def takes_types(model: Any) -> bool:
    """Return whether ``model``, or the model inside a wrapper, distinguishes token types."""
    # RoBERTa and DeBERTa take token types, but have only one type or none
    if getattr(model.config, "type_vocab_size", 2) in (0, 1):
        return False
    return any(parameter.name == "token_type_ids" for parameter in parameters_of(endings.unwrapped(model).forward))


def read_output(output: Any, path: Sequence[Any]) -> torch.Tensor:
    """Return the tensor at ``path`` in a model's output, or raise a ChainError if there is none.

    An image map of shape (pairs, channels, height, width) becomes (pairs, height × width, channels).
    """
    value = output
    for key in path:
        try:
            value = value[key]
        except (KeyError, TypeError, IndexError):
            # some outputs offer their fields as attributes only
            if not hasattr(value, str(key)):
                raise ChainError(
                    f"the model's output, {type(value).__name__}, has no {key!r}, which modality_config names."
                ) from None
            value = getattr(value, str(key))
    if isinstance(value, tuple | list) and value and all(isinstance(part, torch.Tensor) for part in value):
        place = [*path, -1]
        raise ChainError(
            f"the model's output at {'.'.join(map(str, path))} is a {type(value).__name__} of {len(value)} tensors, "
            f"such as one for each layer; the last has the shape {tuple(value[-1].shape)}.",
            next_step=f"choose one: modality_config with method_output_name={place}, and modules that read its shape.",
        )
    if not isinstance(value, torch.Tensor):
        raise ChainError(f"the model's output at {'.'.join(map(str, path))} is {type(value).__name__}, not a tensor.")
    return value.flatten(2).transpose(1, 2) if value.ndim == 4 else value
