"""A chain with a module of every origin: plugin, file beside the model, another repository, caller, the library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from hub_server import HubServer
from plugin_folders import install
from torch import nn

from pairchain import CrossEncoder, Module
from pairchain.errors import TrustRequiredError

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("a man is eating", "the red planet , mars")]
SIZE = 32

# an installed plugin
SHIFT = """
from pairchain import Module

class Shift(Module):
    config_keys = ["by"]

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, features, **kwargs):
        features["token_embeddings"] = features["token_embeddings"] + self.by
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""
# a file beside the model, and one that it imports
TAIL_POOLING = """
from sentence_transformers.models import Module
from .positions import weights

class TailPooling(Module):
    config_keys = ["power"]

    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, features, **kwargs):
        share = weights(features["attention_mask"], self.power)
        features["sentence_embedding"] = (features["token_embeddings"] * share.unsqueeze(-1)).sum(1)
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""
POSITIONS = """
def weights(mask, power):
    late = mask.cumsum(1).float() ** power * mask
    return late / late.sum(1, keepdim=True)
"""
# a file of another repository
BLOCKS = """
import torch
from sentence_transformers.cross_encoder.modules import Module

class Scale(Module):
    config_keys = ["size"]

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.factors = torch.nn.Parameter(torch.ones(size))

    def forward(self, features, **kwargs):
        features["sentence_embedding"] = features["sentence_embedding"] * self.factors
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path, **kwargs):
        names = ("subfolder", "token", "cache_folder", "revision", "local_files_only")
        hub = {name: kwargs[name] for name in names}
        module = cls(**cls.load_config(model_name_or_path, **hub))
        return cls.load_torch_weights(model_name_or_path, model=module, **hub)
"""


class Head(Module):
    """The caller's: it has a type of its own, so its code stays with the caller when a model is saved."""

    module_type = "ranking.Head"
    config_keys = ["size"]
    saves_weights = True
    reads = frozenset({"sentence_embedding"})
    writes = frozenset({"scores"})
    num_labels = 1

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(size, 1)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``scores``."""
        features["scores"] = self.linear(features["sentence_embedding"])
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the size and the weights."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)


CLASSES: dict[str, type] = {"ranking.Head": Head}


def install_shift(site: Path) -> None:
    """Install the plugin acme-shift into ``site``."""
    install(
        site,
        "acme-shift",
        modules={"acme_shift.Shift": "acme_shift:Shift"},
        requires=["pairchain-core>=0.2,<0.3"],
        files={"acme_shift.py": SHIFT},
    )


def publish(hub: HubServer, owner: str, folder: Path) -> str:
    """Publish a model with code beside it and code of another repository; return that repository's commit."""
    hub.add_repo(f"{owner}/blocks")
    commit = hub.commit(f"{owner}/blocks", {"blocks.py": BLOCKS})
    shutil.copytree(GOLDEN / "pooling_mean" / "model", folder)
    (folder / "tail_pooling.py").write_text(TAIL_POOLING)
    (folder / "positions.py").write_text(POSITIONS)
    entries = json.loads((folder / "modules.json").read_text())
    entries[1].update(path="1_TailPooling", type="tail_pooling.TailPooling")
    scale = {"path": "2_Scale", "type": f"{owner}/blocks--blocks.Scale", "code_revision": commit}
    entries.insert(2, {**entries[2], **scale})
    for index, entry in enumerate(entries):
        entry.update(idx=index, name=str(index))
    (folder / "modules.json").write_text(json.dumps(entries))
    for path, config in (("1_TailPooling", {"power": 2}), ("2_Scale", {"size": SIZE})):
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(config))
    factors = {"factors": torch.linspace(0.5, 1.5, SIZE)}
    safetensors.torch.save_file(factors, folder / "2_Scale" / "model.safetensors")
    hub.add_repo(f"{owner}/reranker")
    hub.commit(f"{owner}/reranker", folder)
    return commit


def approvals(model: str | Path, **options: Any) -> list[str]:
    """Return what a refusal to load ``model`` says to pass, to allow just its code."""
    try:
        CrossEncoder(model, device="cpu", **options)
    except TrustRequiredError as error:
        return list(error.approvals)
    raise AssertionError(f"{model} loads without trust")


def build(owner: str, *, with_library: bool) -> CrossEncoder:
    """Return a chain of the published model's modules, the plugin's, the caller's and, if asked, the library's."""
    from acme_shift import Shift

    name = f"{owner}/reranker"
    published = CrossEncoder(name, device="cpu", trust_remote_code=approvals(name))
    torch.manual_seed(0)
    modules = [published[0], Shift(0.25), published[1], published[2], Head(SIZE)]
    if with_library:
        from sentence_transformers.sentence_transformer.modules import CNN

        modules.insert(2, CNN(SIZE, SIZE // 2, [1, 3]))
    return CrossEncoder(modules=modules, device="cpu", activation_fn=nn.Identity())
