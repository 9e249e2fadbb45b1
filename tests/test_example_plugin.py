"""The example plugin, built and installed as its users would, in chains with the standard modules."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer
from tiny_models import save_tiny
from torch import nn
from warm import warm_python

from pairchain import CrossEncoder, __version__, registry
from pairchain.errors import ChainError, UnknownKeywordError

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parent / "support"
EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "pairchain-two-towers"
QUERIES = ["how many people live in berlin ?", "what is the capital of france ?", "Mars"]
DOCUMENTS = [
    "berlin had a population of 3520031 registered inhabitants .",
    "berlin is well known for its museums .",
    "a monkey is playing drums .",
    "Mars",
]
PAIRS = list(product(QUERIES, DOCUMENTS))


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the plugin's wheel is installed in, on the path for the tests of this file."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(EXAMPLE)], check=True)
    sys.path.insert(0, str(site))
    registry.refresh()
    yield site
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pairchain_two_towers"]:
        del sys.modules[name]
    registry.refresh()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("bert"), "bert", initializer_range=1.0)


@pytest.fixture
def model(checkpoint: str) -> CrossEncoder:
    return chain(checkpoint)


def chain(checkpoint: str, *more: nn.Module, **options: Any) -> CrossEncoder:
    """Return TwoTowers and CosineScore around a checkpoint, and then ``more``."""
    towers = registry.load("TwoTowers")(registry.load("Transformer")(checkpoint))
    modules = [towers, registry.load("CosineScore")(), *more]
    return CrossEncoder(modules=modules, **{"activation_fn": nn.Identity(), "device": "cpu", **options})


def embeddings(model: CrossEncoder, pairs: Sequence[tuple[str, str]], side: str, **options: Any) -> torch.Tensor:
    """Return the embeddings of one side of ``pairs``."""
    with torch.inference_mode():
        return model(model.preprocess(pairs, **options))[f"{side}_embedding"]


def test_the_wheel_says_that_it_is_typed(plugin: Path) -> None:
    assert (plugin / "pairchain_two_towers" / "py.typed").is_file()


def test_its_own_tests_pass_where_it_is_installed(plugin: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-p", "warm.contracts"]
    run = subprocess.run(
        [*warm_python(), "-m", "pytest", *options, str(EXAMPLE / "tests")],
        env={**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{SUPPORT}"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def test_finding_the_plugin_imports_neither_it_nor_torch(plugin: Path) -> None:
    code = (
        "import sys; from pairchain import registry; print('TwoTowers' in registry.names(), "
        "{'pairchain_two_towers', 'torch', 'transformers'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(plugin)!r}); {code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "True set()"


def test_both_names_of_a_type_are_one_class() -> None:
    for name in ("TwoTowers", "CosineScore"):
        assert registry.load(name) is registry.load(f"pairchain_two_towers.{name}")


def test_the_chain_says_who_provides_each_module(checkpoint: str) -> None:
    dense = registry.load("Dense")(1, 1, module_input_name="scores")
    origins = [str(origin) for origin in chain(checkpoint, dense).origins.values()]
    assert origins == ["pairchain-two-towers 0.1.0", "pairchain-two-towers 0.1.0", f"pairchain-dense {__version__}"]


def test_a_saved_chain_scores_the_same_and_names_the_plugin(checkpoint: str, tmp_path: Path) -> None:
    dense = registry.load("Dense")(1, 1, module_input_name="scores")
    model = chain(checkpoint, dense)
    model.save_pretrained(tmp_path / "saved")
    again = CrossEncoder(tmp_path / "saved", device="cpu")
    assert np.array_equal(again.predict(PAIRS), model.predict(PAIRS))
    assert isinstance(again.activation_fn, nn.Identity)
    first, second, _ = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert (first["type"], first["path"]) == ("pairchain_two_towers.TwoTowers", "")
    assert (second["type"], second["path"]) == ("pairchain_two_towers.CosineScore", "1_CosineScore")
    assert {(entry["distribution"], entry["version"]) for entry in (first, second)} == {
        ("pairchain-two-towers", "0.1.0")
    }


def test_the_encoder_is_saved_in_a_folder_of_its_own_with_its_settings(model: CrossEncoder, tmp_path: Path) -> None:
    model.max_seq_length = 9
    model.save_pretrained(tmp_path)
    assert (tmp_path / "encoder" / "model.safetensors").is_file()
    assert not (tmp_path / "config.json").exists()
    again = CrossEncoder(tmp_path, device="cpu")
    assert again.max_seq_length == 9
    assert np.array_equal(again.predict(PAIRS), model.predict(PAIRS))


def test_a_chain_in_a_subfolder_of_a_repository_loads_at_the_commit_asked_for(
    model: CrossEncoder, checkpoint: str, tmp_path: Path, hub: HubServer
) -> None:
    hub.add_repo("example/two-towers")
    model.save_pretrained(tmp_path / "towers")
    commit = hub.commit("example/two-towers", tmp_path)
    newer = chain(checkpoint)
    nn.init.normal_(newer[0].encoder.model.embeddings.word_embeddings.weight)
    newer.save_pretrained(tmp_path / "towers")
    hub.commit("example/two-towers", tmp_path)
    for revision, expected in ((commit, model), (None, newer)):
        again = CrossEncoder("example/two-towers", subfolder="towers", revision=revision, device="cpu")
        assert np.array_equal(again.predict(PAIRS), expected.predict(PAIRS))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_scores_do_not_depend_on_the_batch(model: CrossEncoder, batch_size: int) -> None:
    expected = [model.predict(pair) for pair in PAIRS]
    assert model.predict(PAIRS, batch_size=batch_size) == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 0.1


def test_scores_follow_the_order_of_the_pairs(model: CrossEncoder) -> None:
    scores = model.predict(PAIRS, batch_size=5)
    assert model.predict(PAIRS[::-1], batch_size=5)[::-1] == pytest.approx(scores, abs=1e-5)


def test_a_text_is_encoded_once_a_batch_on_whichever_side_it_is(model: CrossEncoder) -> None:
    features = model.preprocess([*PAIRS, *PAIRS])
    # "Mars" is a query and a document
    assert len(features["texts"]["input_ids"]) == len(QUERIES) + len(DOCUMENTS) - 1
    assert len(features["query_rows"]) == len(features["document_rows"]) == 2 * len(PAIRS)
    assert len(model(features)["query_embedding"]) == 2 * len(PAIRS)


def test_a_text_scores_one_with_itself_and_a_pair_the_same_both_ways(model: CrossEncoder) -> None:
    assert model.predict([(text, text) for text in QUERIES]) == pytest.approx(np.ones(3), abs=1e-6)
    turned = [(document, query) for query, document in PAIRS]
    assert model.predict(turned) == pytest.approx(model.predict(PAIRS), abs=1e-5)


def test_the_score_is_the_cosine_of_the_mean_of_each_texts_tokens(model: CrossEncoder) -> None:
    encoder = model[0].encoder
    means = []
    for text in PAIRS[0]:
        tokens = encoder.tokenizer([text], return_tensors="pt")
        with torch.inference_mode():
            means.append(encoder.model(**tokens).last_hidden_state[0].mean(dim=0))
    assert model.predict(PAIRS[0]) == pytest.approx(float(torch.cosine_similarity(*means, dim=0)), abs=1e-6)


def test_padding_is_no_part_of_an_embedding(model: CrossEncoder) -> None:
    alone = embeddings(model, [("Mars", "Mars")], "query")[0]
    beside = embeddings(model, [("Mars", DOCUMENTS[0])], "query")[0]
    assert torch.allclose(alone, beside, atol=1e-5)
    assert not torch.allclose(alone, embeddings(model, [("Mars", DOCUMENTS[0])], "document")[0], atol=1e-2)


def test_a_prompt_goes_before_the_query_and_not_before_the_document(model: CrossEncoder) -> None:
    glued = [("question : " + query, document) for query, document in PAIRS]
    assert np.array_equal(model.predict(PAIRS, prompt="question : "), model.predict(glued))
    assert not np.allclose(model.predict(PAIRS, prompt="question : "), model.predict(PAIRS), atol=1e-3)
    documents = (embeddings(model, PAIRS, "document", prompt=prompt) for prompt in (None, "question : "))
    assert torch.allclose(*documents, atol=1e-5)


def test_a_text_on_both_sides_is_encoded_twice_when_only_one_has_the_prompt(model: CrossEncoder) -> None:
    assert len(model.preprocess([("Mars", "Mars")], prompt="question : ")["texts"]["input_ids"]) == 2


def test_a_default_prompt_is_saved_and_used(checkpoint: str, model: CrossEncoder, tmp_path: Path) -> None:
    prompted = chain(checkpoint, prompts={"ask": "question : "}, default_prompt_name="ask")
    prompted.save_pretrained(tmp_path)
    again = CrossEncoder(tmp_path, device="cpu")
    assert np.array_equal(again.predict(PAIRS), model.predict(PAIRS, prompt="question : "))
    assert np.array_equal(again.predict(PAIRS, prompt=""), model.predict(PAIRS))


def test_ranking_sorts_the_documents_by_their_scores(model: CrossEncoder) -> None:
    ranked = model.rank(QUERIES[0], DOCUMENTS)
    scores = model.predict([(QUERIES[0], document) for document in DOCUMENTS])
    assert [hit["corpus_id"] for hit in ranked] == np.argsort(-scores).tolist()


def test_max_length_cuts_each_text_and_a_misspelt_keyword_is_refused(model: CrossEncoder) -> None:
    assert model.preprocess(PAIRS, max_length=5)["texts"]["input_ids"].shape[1] == 5
    assert not np.allclose(model.predict(PAIRS, max_length=5), model.predict(PAIRS))
    with pytest.raises(UnknownKeywordError, match=r"'max_lenght'.*did you mean 'max_length'"):
        model.predict(PAIRS, max_lenght=5)


def test_half_precision_scores_almost_the_same(checkpoint: str, model: CrossEncoder) -> None:
    transformer = registry.load("Transformer")(checkpoint, model_kwargs={"dtype": torch.bfloat16})
    half = CrossEncoder(
        modules=[registry.load("TwoTowers")(transformer), registry.load("CosineScore")()],
        activation_fn=nn.Identity(),
        device="cpu",
    )
    assert half.dtype == torch.bfloat16
    assert half.predict(PAIRS) == pytest.approx(model.predict(PAIRS), abs=0.05)


def test_an_encoder_that_writes_no_token_embeddings_is_refused(golden: Path) -> None:
    classifier = registry.load("Transformer")(
        str(golden / "bert_seqcls_1label" / "model"), transformer_task="sequence-classification"
    )
    with pytest.raises(ChainError) as refused:
        registry.load("TwoTowers")(classifier)
    assert "'token_embeddings'" in str(refused.value)
    assert "scores" in str(refused.value)
    assert "transformer_task='feature-extraction'" in str(refused.value)


def test_comparing_what_nobody_embedded_is_refused_when_the_chain_is_built(checkpoint: str) -> None:
    with pytest.raises(ChainError, match=r"CosineScore reads 'document_embedding', 'query_embedding'"):
        CrossEncoder(modules=[registry.load("Transformer")(checkpoint), registry.load("CosineScore")()])


def test_the_readme_runs_as_it_is_written(
    checkpoint: str, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("sentence-transformers/all-MiniLM-L6-v2")
    hub.commit("sentence-transformers/all-MiniLM-L6-v2", Path(checkpoint))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```py\n(.*?)^```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
