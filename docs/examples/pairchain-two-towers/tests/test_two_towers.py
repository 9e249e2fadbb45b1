"""Both modules keep the contract of modules: `pip install -e '.[test]'`, then `pytest`."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from torch import nn
from transformers import BertConfig, BertModel, BertTokenizerFast

from pairchain import registry
from pairchain.testing import InputModuleContract, ModuleContract
from pairchain_two_towers import CosineScore, TwoTowers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *map("##{}".format, "aeinorst")]


@cache
def tiny_checkpoint() -> str:
    """Return the path of a small, random BERT."""
    folder = Path(tempfile.mkdtemp())
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return str(folder)


class TestTwoTowers(InputModuleContract):
    def make_module(self) -> nn.Module:
        return TwoTowers(registry.load("Transformer")(tiny_checkpoint(), transformer_task="feature-extraction"))

    def make_chain(self, module: nn.Module) -> list[nn.Module]:
        return [module, CosineScore()]


class TestCosineScore(ModuleContract):
    def make_module(self) -> nn.Module:
        return CosineScore()
