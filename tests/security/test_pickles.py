"""No pickle is read that its user did not allow, under whatever name, and none ever runs code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from traps import PAIRS, Canary, write

import pairchain
from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import FormatError, PairchainError, PickleRefusedError

pytestmark = pytest.mark.slow


def as_pickle(folder: Path, canary: Canary | None = None, name: str = "pytorch_model.bin") -> Path:
    """Return ``folder`` after turning its safetensors file into a pickle, with a trap in it if there is a canary."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if canary is not None:
        return write(folder, {name: canary.state_dict(weights)})
    torch.save(weights, folder / name)
    return folder


# The library behind Transformer reads its weights, and pairchain those of Dense.
@pytest.mark.parametrize("place", ["", "2_Dense"])
def test_a_pickle_is_refused_and_with_allow_pickle_runs_nothing(place: str, pooled: Path, canary: Canary) -> None:
    as_pickle(pooled / place, canary)

    with pytest.raises(PickleRefusedError, match="allow_pickle=True"):
        CrossEncoder(pooled, device="cpu")
    # trust is of code, and a pickle is not said to be code
    with pytest.raises(PickleRefusedError):
        CrossEncoder(pooled, device="cpu", trust_remote_code=True)
    with pytest.raises(FormatError, match="restricted loader"):
        CrossEncoder(pooled, device="cpu", allow_pickle=True)
    assert "pytorch_model.bin" in str(pairchain.inspect(pooled))
    assert not canary.sang


@pytest.mark.parametrize("place", ["", "2_Dense"])
def test_a_pickle_of_weights_loads_where_it_is_allowed(place: str, pooled: Path) -> None:
    expected = CrossEncoder(pooled, device="cpu").predict(PAIRS).tolist()
    as_pickle(pooled / place)

    found = CrossEncoder(pooled, device="cpu", allow_pickle=True).predict(PAIRS).tolist()
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("place", ["", "2_Dense"])
@pytest.mark.parametrize("allow_pickle", [False, True])
def test_a_pickle_under_the_name_of_a_safetensors_file_is_not_unpickled(
    place: str, allow_pickle: bool, pooled: Path, canary: Canary
) -> None:
    for content in (canary.pickle(), canary.state_dict()):
        write(pooled / place, {"model.safetensors": content})

        with pytest.raises(FormatError):
            CrossEncoder(pooled, device="cpu", allow_pickle=allow_pickle)
        assert "looks like a pickle" in " ".join(str(pairchain.inspect(pooled)).split())
        with pytest.raises(FormatError, match="looks like a pickle"):
            pairchain.lock(pooled, None)
    assert not canary.sang


def index(*names: str) -> str:
    return json.dumps({"metadata": {}, "weight_map": {f"w{number}": name for number, name in enumerate(names)}})


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_an_index_of_safetensors_files_names_no_pickle(allow_pickle: bool, classifier: Path, canary: Canary) -> None:
    as_pickle(classifier, canary, "weights.bin")
    write(classifier, {"model.safetensors.index.json": index("weights.bin")})

    with pytest.raises(FormatError, match=r"'weights\.bin', which is not a safetensors file"):
        CrossEncoder(classifier, device="cpu", allow_pickle=allow_pickle)
    assert not canary.sang


OUTSIDE = ["../outside", "a/../../outside", "{absolute}", "C:\\outside", "a\0b", "..\\outside"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_an_index_leads_to_no_file_outside_the_folder(kind: str, name: str, classifier: Path, tmp_path: Path) -> None:
    suffix = Path(kind).suffix
    outside = tmp_path / f"outside{suffix}"
    if suffix == ".bin":
        as_pickle(classifier)
        (classifier / kind).rename(outside)
    else:
        (classifier / kind).rename(outside)
    named = name.format(absolute=str(tmp_path / "outside")) + suffix
    write(classifier, {f"{kind}.index.json": index(named)})

    with pytest.raises(PairchainError, match="leaves the model's folder"):
        CrossEncoder(classifier, device="cpu", allow_pickle=True)


def names_the_weights(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder, {"config.json": json.dumps({**config, **settings})})


@pytest.mark.parametrize("name", ["adapter_model.bin", "../outside.safetensors", "other.safetensors"])
def test_a_configuration_names_no_other_weights(name: str, classifier: Path, canary: Canary) -> None:
    expected = CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist()
    write(classifier, {name: canary.state_dict()})
    names_the_weights(classifier, transformers_weights=name)

    with pytest.warns(PairchainWarning, match="transformers_weights .* may not decide"):
        model = CrossEncoder(classifier, device="cpu")
    assert model.predict(PAIRS).tolist() == expected
    assert not canary.sang


@pytest.mark.filterwarnings("default::pairchain.PairchainWarning")
@pytest.mark.parametrize("key", ["model_kwargs", "config_kwargs"])
@pytest.mark.parametrize(
    "options",
    [
        {"use_safetensors": False},
        {"weights_only": False},
        {"variant": "evil"},
        {"use_safetensors": False, "weights_only": False},
        {"gguf_file": "evil.gguf"},
        {"transformers_weights": "adapter_model.bin"},
    ],
)
def test_a_module_s_settings_choose_no_pickle(
    options: dict[str, Any], key: str, classifier: Path, canary: Canary
) -> None:
    expected = CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist()
    for name in ("pytorch_model.bin", "pytorch_model.evil.bin", "adapter_model.bin", "evil.gguf"):
        write(classifier, {name: canary.state_dict()})
    settings = json.loads((classifier / "sentence_bert_config.json").read_text())
    write(classifier, {"sentence_bert_config.json": json.dumps({**settings, key: options})})

    with pytest.warns(PairchainWarning, match="may not decide|does not have"):
        model = CrossEncoder(classifier, device="cpu")
    assert model.predict(PAIRS).tolist() == expected
    assert not canary.sang


def test_a_caller_who_asks_for_the_pickle_must_allow_it_too(classifier: Path, canary: Canary) -> None:
    write(classifier, {"pytorch_model.bin": canary.state_dict(load_file(classifier / "model.safetensors"))})
    asked = {"device": "cpu", "model_kwargs": {"use_safetensors": False, "weights_only": False}}

    with pytest.raises(PickleRefusedError, match="allow_pickle=True"):
        CrossEncoder(classifier, **asked)
    with pytest.raises(FormatError, match="restricted loader"):
        CrossEncoder(classifier, **asked, allow_pickle=True)
    assert not canary.sang


def test_what_other_libraries_read_outside_a_load_is_left_alone(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(PickleRefusedError):
        CrossEncoder(as_pickle(classifier), device="cpu")
    torch.save({"a": torch.ones(1)}, tmp_path / "own.bin")

    assert torch.load(tmp_path / "own.bin", weights_only=False)["a"].item() == 1
    assert torch.load.__module__ == "torch.serialization"


# These classes of sentence-transformers hand over to the transformers library what their model's files say.
@pytest.mark.peer
@pytest.mark.parametrize(
    "type_name",
    [
        "sentence_transformers.sparse_encoder.modules.MLMTransformer",
        "sentence_transformers.models.CLIPModel",
        "sentence_transformers.base.modules.unheard_of.Transformer",
    ],
)
@pytest.mark.parametrize("options", [{}, {"trust_remote_code": True}])
def test_a_module_of_sentence_transformers_reads_no_pickle_either(
    options: dict[str, Any], type_name: str, classifier: Path, canary: Canary
) -> None:
    write(as_pickle(classifier, canary), {"config_sentence_transformers.json": "{}"})
    settings = {"model_kwargs": {"weights_only": False, "use_safetensors": False}, "max_seq_length": 8}
    write(classifier, {"sentence_bert_config.json": json.dumps(settings)})
    entry = {"idx": 0, "name": "0", "path": "", "type": type_name}
    write(classifier, {"modules.json": json.dumps([entry])})

    with pytest.raises(PairchainError, match="trust_remote_code" if not options else "allow_pickle"):
        CrossEncoder(classifier, device="cpu", **options)
    assert not canary.sang


PLUGIN = """
import torch
from pairchain import Module

class Head(Module):
    def forward(self, features, **kwargs):
        return features

    def save(self, output_path, *args, **kwargs):
        pass

    @classmethod
    def load(cls, model_name_or_path, subfolder="", **kwargs):
        torch.load(f"{model_name_or_path}/{subfolder}/own.pt", weights_only=False)
        return cls()
"""


@pytest.mark.parametrize("make", [Canary.pickle, Canary.state_dict])
def test_a_module_that_reads_a_pickle_by_itself_is_held_to_the_same(
    make: Callable[[Canary], bytes], classifier: Path, canary: Canary
) -> None:
    namespace: dict[str, Any] = {"__name__": "somebody.heads"}
    exec(PLUGIN, namespace)
    entries = json.loads((classifier / "modules.json").read_text())
    entries.append({"idx": 1, "name": "1", "path": "1_Head", "type": "own.Head"})
    write(classifier, {"modules.json": json.dumps(entries), "1_Head/own.pt": make(canary)})
    classes = {"own.Head": namespace["Head"]}

    with pytest.raises(PickleRefusedError, match="allow_pickle=True"):
        CrossEncoder(classifier, device="cpu", module_classes=classes)
    with pytest.raises(FormatError, match=r"Head cannot be loaded[\s\S]*weights_only|[Uu]npickl"):
        CrossEncoder(classifier, device="cpu", module_classes=classes, allow_pickle=True)
    assert not canary.sang
