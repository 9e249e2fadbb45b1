"""TextRanker ranks texts for the adapters to other frameworks, with a model that is loaded or will be."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pairchain
from pairchain import CrossEncoder
from pairchain.authoring import TextRanker
from pairchain.errors import (
    InputError,
    LockError,
    NonFiniteScoresError,
    SourceError,
    TrustRequiredError,
    UnknownKeywordError,
)

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "bert_seqcls_1label/model"
THREE_LABELS = GOLDEN / "bert_seqcls_3labels/model"
CUSTOM = GOLDEN / "custom_temperature_module/model"
IMAGES = GOLDEN / "vlm_llava/model"
QUERY = "how many people live in berlin ?"
TEXTS = ["yes no", "berlin had a population of 3520031 .", "how many people", "x y", ""]


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return CrossEncoder(MODEL)


def expected(model: CrossEncoder, query: str = QUERY) -> list[tuple[int, Any]]:
    return [(one["corpus_id"], pytest.approx(one["score"], abs=1e-5)) for one in model.rank(query, TEXTS)]


@pytest.mark.parametrize("given", [MODEL, str(MODEL), None], ids=["path", "name", "loaded"])
@pytest.mark.parametrize("top", [None, 1, 3, 100])
def test_texts_are_ranked_as_rank_does(model: CrossEncoder, given: Any, top: int | None) -> None:
    found = TextRanker(model if given is None else given).best(QUERY, TEXTS, top)
    assert found == expected(model)[:top]
    assert all(type(place) is int and type(score) is float for place, score in found)


def test_pairs_are_scored_as_predict_does(model: CrossEncoder) -> None:
    ranker = TextRanker(MODEL)
    pairs = [(QUERY, text) for text in TEXTS]
    np.testing.assert_allclose(ranker.scores(iter(pairs)), model.predict(pairs), atol=1e-5)
    assert ranker.scores([]).shape == (0,)
    assert TextRanker(THREE_LABELS).scores(pairs).shape == (5, 3)


def test_equal_scores_keep_their_order(model: CrossEncoder) -> None:
    found = TextRanker(model).best(QUERY, ["a", "b", "a", "a"])
    assert [place for place, _ in found if place != 1] == [0, 2, 3]


def test_nothing_is_loaded_for_no_texts() -> None:
    ranker = TextRanker("/no/such/model")
    assert ranker.best(QUERY, []) == []
    assert not ranker.is_loaded
    with pytest.raises(SourceError, match="no/such"):
        ranker.best(QUERY, ["a"])


def test_threads_load_one_model(model: CrossEncoder) -> None:
    ranker = TextRanker(MODEL)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: ranker.model, range(8)))
        ranked = list(pool.map(lambda query: ranker.best(query, TEXTS), ["x y", QUERY, "yes"]))
    assert len({id(one) for one in models}) == 1
    assert ranked == [expected(model, query) for query in ("x y", QUERY, "yes")]


def test_copies_share_the_model_and_another_process_loads_it_again(model: CrossEncoder) -> None:
    ranker = TextRanker(MODEL, {"max_length": 9}, {"batch_size": 2})
    assert copy.deepcopy(ranker).model is ranker.model
    sent = pickle.loads(pickle.dumps(ranker))
    assert not sent.is_loaded
    assert sent.best(QUERY, TEXTS) == ranker.best(QUERY, TEXTS)
    assert sent.model.max_length == 9


def test_arguments_of_predict_are_passed_on(model: CrossEncoder) -> None:
    found = TextRanker(model, None, {"activation_fn": torch.nn.Identity(), "convert_to_tensor": True}).best(
        QUERY, TEXTS
    )
    wanted = sorted(model.predict([(QUERY, text) for text in TEXTS], activation_fn=torch.nn.Identity()), reverse=True)
    assert [score for _, score in found] == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(UnknownKeywordError, match="batch_size"):
        TextRanker(model, None, {"batchsize": 2}).best(QUERY, TEXTS)


def test_a_text_that_names_an_image_is_a_text() -> None:
    ranker = TextRanker(IMAGES)
    url = "http://127.0.0.1:9/cat.png"
    assert len(ranker.best(url, [url, "cat"])) == 2
    # the same as a plain string would be fetched
    with pytest.raises(InputError):
        ranker.model.predict([(url, url)])


class SomeNaN(torch.nn.Module):
    """Makes the second score NaN."""

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(0, torch.tensor(1), torch.nan)


def test_nan_ranks_last_where_it_is_allowed(model: CrossEncoder) -> None:
    with pytest.raises(NonFiniteScoresError):
        TextRanker(model, None, {"activation_fn": SomeNaN()}).best(QUERY, TEXTS)
    found = TextRanker(model, None, {"activation_fn": SomeNaN(), "allow_non_finite": True}).best(QUERY, TEXTS)
    assert found[-1][0] == 1


def test_a_lock_is_checked(tmp_path: Path, model: CrossEncoder) -> None:
    pairchain.lock(MODEL, tmp_path / "lock.json")
    pairchain.lock(THREE_LABELS, tmp_path / "another.json")
    ranker = TextRanker(MODEL, {"lock": tmp_path / "lock.json"})
    # read when the ranker was made
    (tmp_path / "lock.json").unlink()
    assert ranker.best(QUERY, TEXTS) == expected(model)
    with pytest.raises(LockError):
        TextRanker(MODEL, {"lock": tmp_path / "another.json"}).best(QUERY, TEXTS)


def test_nothing_secret_is_printed() -> None:
    given = {"token": "hf_secret", "model_kwargs": {"token": "hf_secret", "dtype": "bfloat16"}, "tokenizer": "library"}
    ranker = TextRanker("owner/name", given)
    assert repr(ranker) == "TextRanker('owner/name')"
    assert ranker.shown_kwargs == {"model_kwargs": {"dtype": "bfloat16"}, "tokenizer": "library"}
    assert ranker.load_kwargs == given


def test_code_of_a_model_needs_trust() -> None:
    with pytest.raises(TrustRequiredError):
        TextRanker(CUSTOM).best(QUERY, TEXTS)
    assert len(TextRanker(CUSTOM, {"trust_remote_code": True}).best(QUERY, TEXTS)) == len(TEXTS)


def test_what_cannot_be_used_is_told(model: CrossEncoder) -> None:
    with pytest.raises(InputError, match="an int") as raised:
        TextRanker(3)  # type: ignore[arg-type]
    assert raised.value.argument == "model"
    with pytest.raises(UnknownKeywordError, match=r"Adapter takes no argument 'revison' \(did you mean 'revision'"):
        TextRanker(MODEL, {"revison": "main"}, taker="Adapter")
    with pytest.raises(UnknownKeywordError, match="modules"):
        TextRanker(MODEL, {"modules": []})
    with pytest.raises(InputError, match="loaded already"):
        TextRanker(model, {"revision": "main"})
    for top in (0, -1, 1.5, "3", True):
        with pytest.raises(InputError, match="top"):
            TextRanker(model).best(QUERY, TEXTS, top)  # type: ignore[arg-type]
    for query in (None, 3, {"image": "a.png"}, ["a"]):
        with pytest.raises(InputError, match="the query is"):
            TextRanker(model).best(query, TEXTS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds None") as raised:
        TextRanker(model).best(QUERY, ["a", None])  # type: ignore[list-item]
    assert raised.value.index == 1
    with pytest.raises(InputError, match="gives 3"):
        TextRanker(THREE_LABELS).best(QUERY, TEXTS)
