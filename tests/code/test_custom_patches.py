"""Code of a model that changes libraries: the change is undone and the model refused; others score as before."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from custom_models import DIFFERENCES, SCORER, head, load, save_by_hand, scores
from tiny_models import GOLDEN, edited, save_tiny
from torch.nn.modules import module as torch_hooks
from transformers.activations import ACT2CLS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert import modeling_bert

import pairchain
from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import ChainError
from pairchain.modules import Transformer

pytestmark = pytest.mark.slow

TEXTS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y yes no")]
LENGTHS = ["lengths.Lengths", "head.Head"]


def faces() -> list[Any]:
    found: list[Any] = [CrossEncoder]
    if find_spec("sentence_transformers") is not None:
        found.append(importlib.import_module("sentence_transformers").CrossEncoder)
    return found


def state() -> list[Any]:
    """Return what the code of these tests changes."""
    return [
        *(vars(cls).get(name) for face in faces() for cls in face.__mro__ for name in ("predict", "rank", "to", "_x")),
        *(torch.nn.functional.gelu, vars(torch.nn.Linear)["forward"], vars(torch.nn.Module)["__call__"]),
        *(vars(modeling_bert.BertModel)["forward"], modeling_bert.BertEmbeddings, transformers.AutoModel),
        *(ACT2CLS["gelu"], ALL_ATTENTION_FUNCTIONS["sdpa"]),
        *(dict(torch_hooks._global_forward_hooks), torch.get_default_dtype(), torch.is_grad_enabled()),
    ]


@pytest.fixture(scope="module")
def other() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu")


@pytest.fixture(autouse=True)
def nothing_stays(other: CrossEncoder) -> Iterator[None]:
    """Compare the libraries, and another model's scores, with what they were before the test."""
    before, score = state(), other.predict(TEXTS).tolist()
    yield
    assert state() == before
    assert other.predict(TEXTS).tolist() == score


def scorer(folder: Path, library: str) -> Path:
    save_tiny(folder, "qwen3", "ForCausalLM")
    (folder / "modeling_scorer.py").write_text(SCORER.format(library=library))
    return edited(folder, "config.json", auto_map={"AutoConfig": "modeling_scorer.ScorerConfig"})


@pytest.mark.parametrize("library", ["sentence_transformers", "sentence_transformers.cross_encoder", "pairchain"])
def test_a_checkpoint_that_replaces_the_methods_of_every_model_is_refused(library: str, tmp_path: Path) -> None:
    folder = scorer(tmp_path, library)

    for _ in range(2):
        # its code is not left imported, or the second load would find nothing
        with pytest.raises(ChainError, match=r"code \(modeling_scorer\.py in .*replaces .*predict") as caught:
            load(folder)

        assert "CrossEncoder.to" in str(caught.value)
        assert "without its code" in caught.value.next_step
    assert not [name for name in sys.modules if name.endswith(".modeling_scorer")]


def test_a_transformer_that_is_built_by_hand_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match=r"replaces .*predict"):
        Transformer(str(scorer(tmp_path, "pairchain")), transformer_task="text-generation", trust_remote_code=True)


@pytest.mark.parametrize("kind", ["at import", "in a constructor", "in load", "in on_model_ready"])
def test_when_the_code_does_it_does_not_matter(kind: str, tmp_path: Path) -> None:
    patch = "import pairchain; pairchain.CrossEncoder.rank = lambda self, *args: []"
    methods = {
        "in a constructor": f"    def __init__(self):\n        super().__init__()\n        {patch}\n",
        "in load": f"    @classmethod\n    def load(cls, *args, **kwargs):\n        {patch}\n        return cls()\n",
        "in on_model_ready": f"    def on_model_ready(self, model):\n        {patch}\n",
    }
    code = head(before=patch if kind == "at import" else "") + methods.get(kind, "")

    with pytest.raises(ChainError, match=r"head\.py in .*replaces pairchain\..*CrossEncoder\.rank"):
        load(save_by_hand(tmp_path, LENGTHS, {"head.py": code}))


_WRAP = """
import functools, torch
def wrapped(original):
    @functools.wraps(original)
    def call(*args, **kwargs):
        return original(*args, **kwargs)
    return call
"""
# What is replaced, and the code that does it.
PATCHES = {
    "torch.nn.functional.gelu": "import torch\ntorch.nn.functional.gelu = lambda x, **kwargs: x",
    "torch.nn.functional.relu": "import torch\ntorch.nn.functional.relu = torch.tanh",
    "torch.nn.modules.linear.Linear.forward": f"{_WRAP}\ntorch.nn.Linear.forward = wrapped(torch.nn.Linear.forward)",
    "BertModel.forward": (
        "from transformers.models.bert.modeling_bert import BertModel\nBertModel.forward = lambda self, **kwargs: None"
    ),
    "modeling_bert.BertEmbeddings": (
        "from transformers.models.bert import modeling_bert\n"
        "class Mine(modeling_bert.BertEmbeddings): pass\nmodeling_bert.BertEmbeddings = Mine"
    ),
    "BertModel.get_input_embeddings": (
        "import functools\nfrom transformers import BertModel\n"
        "BertModel.get_input_embeddings = functools.partialmethod(lambda self: None)"
    ),
    "['sdpa']": (
        "from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS\n"
        "ALL_ATTENTION_FUNCTIONS._global_mapping['sdpa'] = lambda *args, **kwargs: None"
    ),
    "['gelu']": "from transformers.activations import ACT2CLS\nACT2CLS['gelu'] = lambda: None",
    "_global_forward_hooks": (
        "from torch.nn.modules.module import register_module_forward_hook\n"
        "def hook(*given): return None\nregister_module_forward_hook(hook)"
    ),
    "CrossEncoder._x": "from pairchain import CrossEncoder\nCrossEncoder._x = 1",
    "CrossEncoder.rank": "from pairchain import CrossEncoder\nCrossEncoder.rank = CrossEncoder.predict",
    "Scorer.rank": "from pairchain import CrossEncoder\ndel CrossEncoder.__mro__[2].rank",
}


@pytest.mark.parametrize("name", PATCHES)
def test_what_it_replaces_is_named_and_restored(name: str, tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="for the whole process") as caught:
        load(save_by_hand(tmp_path, LENGTHS, {"head.py": head(before=PATCHES[name])}))

    assert name in str(caught.value)


def test_a_library_that_the_code_imports_first_is_restored_too(tmp_path: Path) -> None:
    name = "transformers.models.albert.modeling_albert"
    kept = {known: sys.modules.pop(known) for known in list(sys.modules) if known.startswith(name)}
    try:
        patch = f"from {name} import AlbertModel\nAlbertModel.forward = lambda self: None"
        with pytest.raises(ChainError, match=r"AlbertModel\.forward"):
            load(save_by_hand(tmp_path, LENGTHS, {"head.py": head(before=patch)}))
        assert vars(sys.modules[name].AlbertModel)["forward"].__module__ == name
    finally:
        sys.modules.update(kept)


def test_settings_of_torch_are_set_back_with_a_warning(tmp_path: Path) -> None:
    before = "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)"
    folder = save_by_hand(tmp_path, LENGTHS, {"head.py": head(before=before)})

    with pytest.warns(PairchainWarning) as caught:
        model = load(folder)

    told = [str(warning.message) for warning in caught]
    assert "default dtype to torch.float64 for the whole process; it is torch.float32 again" in told[0]
    assert "gradient mode to False" in told[1]

    assert model.predict([("ab", "c")]).tolist() == [1.0]


def test_code_that_registers_something_new_loads(tmp_path: Path) -> None:
    before = """
        import torch, transformers
        from transformers import AutoConfig, PretrainedConfig
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        class NewConfig(PretrainedConfig):
            model_type = "made-up-for-a-test"

        AutoConfig.register("made-up-for-a-test", NewConfig, exist_ok=True)
        ALL_ATTENTION_FUNCTIONS.register("made-up-for-a-test", lambda *args, **kwargs: None)
        torch.nn.Linear(1, 1).forward = lambda x: x
    """

    assert scores(save_by_hand(tmp_path, LENGTHS, {"head.py": head(before=before)})) == DIFFERENCES


def test_inspecting_the_model_runs_nothing(tmp_path: Path) -> None:
    report = pairchain.inspect(scorer(tmp_path, "pairchain"))

    assert report.approvals
