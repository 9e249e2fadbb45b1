"""Types of sentence-transformers without a plugin load through that library, and their instances are modules to us."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bridge_models import PAIRS
from hub_server import HubServer
from media_web import serving
from torch import nn

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import InputError, PickleRefusedError

GOLDEN = Path(__file__).parents[2] / "golden"
CHECKPOINT = str(GOLDEN / "pooling_mean" / "model")
Build = Callable[[], list[Any]]


def transformer(task: str = "feature-extraction", **options: Any) -> Any:
    from sentence_transformers.base.modules import Transformer

    return Transformer(CHECKPOINT, transformer_task=task, **options)


def pooling(size: int = 32) -> Any:
    from sentence_transformers.sentence_transformer.modules import Pooling

    return Pooling(size, pooling_mode="mean")


def dense(size: int = 32) -> Any:
    from sentence_transformers.base.modules import Dense

    return Dense(size, 1, activation_function=None, module_output_name="scores")


def cnn() -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import CNN

    return [transformer(), CNN(32, 8, [1, 3]), pooling(16), dense(16)]


def dropout() -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import Dropout

    return [transformer(), pooling(), Dropout(0.5), dense()]


def word_weights() -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import WordWeights

    module = transformer()
    words = sorted(module.tokenizer.get_vocab(), key=module.tokenizer.get_vocab().get)
    weights = {word: 1 + number / 10 for number, word in enumerate(words)}
    return [module, WordWeights(words, weights), pooling(), dense()]


def weighted_layer_pooling() -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

    weights = nn.Parameter(torch.tensor([0.3, 0.7]))
    layers = WeightedLayerPooling(32, num_hidden_layers=2, layer_start=1, layer_weights=weights)
    return [transformer(config_kwargs={"output_hidden_states": True}), layers, pooling(), dense()]


def static_embedding() -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    return [StaticEmbedding(Tokenizer.from_file(f"{CHECKPOINT}/tokenizer.json"), embedding_dim=8), dense(8)]


def splade_pooling() -> list[Any]:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    return [transformer("fill-mask"), SpladePooling("max"), dense(151)]


def sparse_auto_encoder() -> list[Any]:
    from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

    return [transformer(), pooling(), SparseAutoEncoder(32, 64, k=8), dense(64)]


def routed() -> list[Any]:
    from sentence_transformers.base.modules import Router, Transformer

    cases = ("roberta_seqcls", "bert_seqcls_1label")
    slow, fast = (
        Transformer(str(GOLDEN / case / "model"), transformer_task="sequence-classification") for case in cases
    )
    return [Router({"fast": [fast], "slow": [slow]}, default_route="slow")]


def causal() -> list[Any]:
    from sentence_transformers.cross_encoder.modules import LogitScore, Transformer

    path = GOLDEN / "gpt2_causal_no_padside" / "model"
    return [Transformer(str(path), transformer_task="text-generation"), LogitScore(314, 12)]


CHAINS: list[Build] = [
    cnn,
    dropout,
    word_weights,
    weighted_layer_pooling,
    static_embedding,
    splade_pooling,
    sparse_auto_encoder,
]
each_chain = pytest.mark.parametrize("build", CHAINS, ids=lambda build: build.__name__)


def theirs(modules: list[Any] | None = None, path: Path | None = None) -> Any:
    from sentence_transformers import CrossEncoder as Theirs

    if modules is None:
        return Theirs(str(path), device="cpu")
    torch.manual_seed(0)
    return Theirs(modules=modules, device="cpu", activation_fn=nn.Identity())


def assert_same(model: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.reshape(model.predict(PAIRS), -1), np.reshape(expected, -1), atol=2e-5, rtol=1e-4)


def saved_types(folder: Path) -> list[str]:
    return [entry["type"] for entry in json.loads((folder / "modules.json").read_text())]


@pytest.mark.slow
@pytest.mark.peer
@each_chain
def test_a_chain_saved_by_the_library_scores_the_same_in_both_directions(build: Build, tmp_path: Path) -> None:
    peer = theirs(build())
    expected = peer.predict(PAIRS)
    assert len(np.unique(expected)) == len(PAIRS)
    peer.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)

    model = CrossEncoder(tmp_path / "theirs", device="cpu")
    model.save_pretrained(tmp_path / "ours")

    for found in (model, CrossEncoder(tmp_path / "ours", device="cpu"), theirs(path=tmp_path / "ours")):
        assert_same(found, expected)
    assert saved_types(tmp_path / "ours") == saved_types(tmp_path / "theirs")
    # what has a plugin is ours, whoever saved it
    homes = {name: str(origin) for name, origin in model.origins.items()}
    assert [home for home in homes.values() if home.startswith("defined in sentence_transformers.")]
    assert homes[str(len(model) - 1)].startswith("pairchain-dense ")


@pytest.mark.peer
def test_a_type_of_the_library_is_saved_and_locked_with_the_plugin_that_gets_it(tmp_path: Path) -> None:
    CrossEncoder(modules=cnn(), device="cpu").save_pretrained(tmp_path)

    (entry,) = [entry for entry in json.loads((tmp_path / "modules.json").read_text()) if entry["name"] == "1"]
    versions = pairchain.lock(tmp_path, None).plugins

    assert entry["type"].endswith(".CNN")
    bridge = {"pairchain-sentence-transformers": pairchain.__version__}
    assert {entry["distribution"]: entry["version"]} == bridge
    library = {"sentence-transformers": version("sentence-transformers")}
    assert {name: version for name, version in versions.items() if "sentence" in name} == {**bridge, **library}


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("build", [*CHAINS, routed, causal], ids=lambda build: build.__name__)
def test_instances_of_the_library_are_modules_to_us(build: Build, tmp_path: Path) -> None:
    modules = build()
    expected = theirs(modules).predict(PAIRS)

    model = CrossEncoder(modules=modules, device="cpu", activation_fn=nn.Identity())
    model.save_pretrained(tmp_path)

    assert list(model) == modules
    for found in (model, CrossEncoder(tmp_path, device="cpu"), theirs(path=tmp_path)):
        assert_same(found, expected)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("whose", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0)], ids=str)
def test_instances_of_both_mix_in_any_place(whose: tuple[int, int, int], tmp_path: Path) -> None:
    ours = list(CrossEncoder(GOLDEN / "pooling_mean" / "model", device="cpu"))
    last = dense()
    last.load_state_dict(ours[2].state_dict())
    expected = CrossEncoder(modules=ours, device="cpu").predict(PAIRS)
    places = zip(ours, [transformer(), pooling(), last], whose, strict=True)
    modules = [library if theirs_here else own for own, library, theirs_here in places]

    model = CrossEncoder(modules=modules, device="cpu")
    model.save_pretrained(tmp_path)

    again = CrossEncoder(tmp_path, device="cpu")
    for found in (model, again, theirs(path=tmp_path)):
        assert_same(found, expected)
    assert model.predict(PAIRS, batch_size=1) == pytest.approx(expected, abs=2e-5)
    assert all(origin.distribution.startswith("pairchain-") for origin in again.origins.values())


@pytest.mark.peer
@pytest.mark.parametrize(
    "name",
    [
        "sentence_transformers.models.CNN",
        "sentence_transformers.models.CNN.CNN",
        "sentence_transformers.sentence_transformer.modules.CNN",
        "sentence_transformers.sentence_transformer.modules.cnn.CNN",
    ],
)
def test_every_path_a_type_was_ever_saved_under_loads(name: str, tmp_path: Path) -> None:
    peer = theirs(cnn())
    peer.save_pretrained(str(tmp_path), create_model_card=False)
    entries = json.loads((tmp_path / "modules.json").read_text())
    entries[1]["type"] = name
    (tmp_path / "modules.json").write_text(json.dumps(entries))

    assert_same(CrossEncoder(tmp_path, device="cpu"), peer.predict(PAIRS))


@pytest.mark.peer
def test_a_type_of_the_library_loads_from_a_hub_at_its_commit(hub: HubServer, tmp_path: Path) -> None:
    first, second = theirs(cnn()), theirs(cnn())
    nn.init.ones_(second[1].convs[0].weight)
    hub.add_repo("someone/with-cnn")
    commits = []
    for number, peer in enumerate((first, second)):
        peer.save_pretrained(str(tmp_path / str(number)), create_model_card=False)
        commits.append(hub.commit("someone/with-cnn", tmp_path / str(number)))

    for commit, peer in zip(commits, (first, second), strict=True):
        assert_same(CrossEncoder("someone/with-cnn", revision=commit, device="cpu"), peer.predict(PAIRS))


@pytest.mark.peer
def test_weights_in_a_pickle_are_refused_for_a_class_of_the_library_too(tmp_path: Path) -> None:
    peer = theirs(cnn())
    peer.save_pretrained(str(tmp_path), create_model_card=False)
    (tmp_path / "1_CNN" / "model.safetensors").unlink()
    torch.save(peer[1].state_dict(), tmp_path / "1_CNN" / "pytorch_model.bin")

    with pytest.raises(PickleRefusedError, match=r"1_CNN/pytorch_model\.bin") as caught:
        CrossEncoder(tmp_path, device="cpu")
    assert "allow_pickle=True" in caught.value.next_step
    assert_same(CrossEncoder(tmp_path, device="cpu", allow_pickle=True), peer.predict(PAIRS))


@pytest.mark.peer
def test_a_module_that_would_open_what_a_text_names_gets_no_such_text(tmp_path: Path) -> None:
    model = CrossEncoder(modules=[transformer(), pooling(), dense()], device="cpu")
    (tmp_path / "a.png").write_bytes(b"")

    with serving(a_png=b"") as web:
        for name in (f"{web.at}/a.png", str(tmp_path / "a.png"), "https://youtu.be/x"):
            with pytest.raises(InputError, match="sentence-transformers would open or fetch itself") as refused:
                model.predict([("a", "b"), ("a", name)])
            assert refused.value.element == 1
        assert web.requests == []
    assert model.predict([("a", "b"), ("a", "see a.png")]).shape == (2,)
