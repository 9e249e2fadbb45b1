"""The chain for a bare checkpoint of the transformers library, proposed through pairchain's hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairchain import hookimpl
from pairchain.errors import ChainError
from pairchain.files import read_json_object

if TYPE_CHECKING:
    from torch import nn

    from pairchain.load import LoadRequest

TRUE_WORD, FALSE_WORD = "yes", "no"


@hookimpl
def pairchain_default_chain(request: LoadRequest) -> list[nn.Module] | None:
    """Return the modules for a checkpoint: with log-odds of yes and no for a causal model, else a classifier.

    Raises:
        ChainError: It is a causal model whose tokenizer has no such tokens.
        UnknownTypeError: It is a causal model, and LogitScore is not installed.
    """
    from pairchain_transformer import Transformer

    path = request.source.file("config.json")
    if path is None:
        return None
    config = read_json_object(path, shown_as=f"config.json of {request.source.name}")
    options: dict[str, Any] = {**request.keywords(), "model_name_or_path": request.source.name}
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    if not str(first).endswith("ForCausalLM"):
        return [Transformer(**options, transformer_task="sequence-classification")]
    logit_score = request.resolver.resolve("LogitScore")
    transformer = Transformer(**options, transformer_task="text-generation")
    ids = {word: _token_id(transformer.tokenizer, word) for word in (TRUE_WORD, FALSE_WORD)}
    return [transformer, logit_score(true_token_id=ids[TRUE_WORD], false_token_id=ids[FALSE_WORD])]


def _token_id(tokenizer: Any, word: str) -> int:
    found = tokenizer.convert_tokens_to_ids(word)
    # a vocabulary with an unknown token answers with it, and every score would be zero
    if found is None or found == tokenizer.unk_token_id:
        raise ChainError(
            f"this causal model's vocabulary has no token {word!r}, of which its score would be made.",
            next_step="choose the tokens: CrossEncoder(modules=[Transformer(…, transformer_task='text-generation'), "
            "LogitScore(true_token_id=…, false_token_id=…)]).",
        )
    return int(found)
