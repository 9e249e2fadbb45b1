"""What rank returns: the documents from the best to the worst, by the scores that predict gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from letters import letters_model

from pairchain import CrossEncoder
from pairchain.errors import InputError, NonFiniteScoresError, UnknownKeywordError

QUERY = "how many people live in berlin ?"
DOCUMENTS = ["ccc", "a", "bb", "dddd", "ee"]
BEST_FIRST = [1, 2, 4, 0, 3]  # the query has as many letters more as the document has fewer


def order(hits: list[dict[str, Any]]) -> list[int]:
    """Return the positions of the documents."""
    return [hit["corpus_id"] for hit in hits]


def test_documents_come_back_from_the_best_to_the_worst_with_position_and_score() -> None:
    hits = letters_model().rank("qqq", DOCUMENTS)
    assert hits == [
        {"corpus_id": 1, "score": 2.0},
        {"corpus_id": 2, "score": 1.0},
        {"corpus_id": 4, "score": 1.0},
        {"corpus_id": 0, "score": 0.0},
        {"corpus_id": 3, "score": -1.0},
    ]


def test_scores_are_python_floats_and_positions_python_integers() -> None:
    assert {(type(hit["score"]), type(hit["corpus_id"])) for hit in letters_model().rank("q", DOCUMENTS)} == {
        (float, int)
    }


def test_equal_scores_keep_the_order_of_the_documents() -> None:
    assert order(letters_model(lambda letters: letters[:, 0]).rank("q", DOCUMENTS * 20)) == list(range(100))


@pytest.mark.parametrize(
    ("top_k", "expected"),
    [(None, BEST_FIRST), (2, BEST_FIRST[:2]), (np.int64(2), BEST_FIRST[:2]), (99, BEST_FIRST), (0, [])],
)
def test_top_k_keeps_the_best(top_k: Any, expected: list[int]) -> None:
    assert order(letters_model().rank("q", DOCUMENTS, top_k=top_k)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("top_k", value) for value in (-1, -5, "2", True, 2.0, np.float32(2), np.array([2]), [2])),
        *(("batch_size", value) for value in (0, -1, "2", True, 2.0, None)),
        *(("chunk_size", value) for value in (0, -1, "2", True, 2.0)),
    ],
    ids=repr,
)
def test_what_is_not_a_count_is_refused_before_anything_is_read_or_scored(name: str, value: Any) -> None:
    scored: list[int] = []
    read: list[str] = []
    model = letters_model(lambda letters: scored.append(len(letters)) or letters[:, 0])
    documents = (read.append(document) or document for document in DOCUMENTS)

    with pytest.raises(InputError, match=f"^{name} must be a positive integer( or 0)?, got ") as refused:
        model.rank("q", documents, **{name: value})
    with pytest.raises(InputError, match=f"^{name} must be a positive integer"):
        model.rank_many(iter(["q"]), [documents], **{name: value})
    assert refused.value.next_step
    if name != "top_k":
        with pytest.raises(InputError, match=f"^{name} must be a positive integer"):
            model.predict_stream([], **{name: value})
        with pytest.raises(InputError, match=f"^{name} must be a positive integer"):
            model.predict([], **{name: value})
    assert (scored, read) == ([], [])


def test_documents_are_returned_when_asked_for() -> None:
    hits = letters_model().rank("q", DOCUMENTS, top_k=2, return_documents=True)
    assert hits == [{"corpus_id": 1, "score": 0.0, "text": "a"}, {"corpus_id": 2, "score": -1.0, "text": "bb"}]


def test_documents_may_be_anything_that_can_be_iterated() -> None:
    expected = letters_model().rank("q", DOCUMENTS, return_documents=True)
    for documents in (tuple(DOCUMENTS), iter(DOCUMENTS), np.array(DOCUMENTS), dict.fromkeys(DOCUMENTS).keys()):
        assert letters_model().rank("q", documents, return_documents=True) == expected


def test_no_documents_are_no_hits() -> None:
    assert letters_model().rank("q", []) == []
    assert letters_model(lambda letters: letters[:, 0]).rank("q", iter(()), return_documents=True) == []


@pytest.mark.parametrize("documents", ["berlin", b"berlin", {"a": "berlin"}, None, 3], ids=repr)
def test_one_document_instead_of_a_list_is_refused_and_not_ranked_piece_by_piece(documents: Any) -> None:
    with pytest.raises(InputError, match="documents is") as refused:
        letters_model().rank("q", documents)
    assert "pass a list of documents" in refused.value.next_step


def test_a_document_that_is_no_text_is_named() -> None:
    with pytest.raises(InputError, match="input 1, element 1 is None"):
        letters_model().rank("q", ["a", None])


@pytest.mark.parametrize("columns", [2, 3])
def test_several_scores_for_a_pair_are_refused_with_what_to_do(columns: int) -> None:
    model = letters_model(lambda letters: letters[:, :1].expand(-1, columns))
    with pytest.raises(InputError, match=f"this model gives {columns}") as refused:
        model.rank("q", DOCUMENTS)
    assert "use predict" in refused.value.next_step


def test_a_saved_model_of_three_labels_is_refused(golden: Path) -> None:
    model = CrossEncoder(golden / "bert_seqcls_3labels" / "model", device="cpu")
    with pytest.raises(InputError, match="gives 3"):
        model.rank(QUERY, DOCUMENTS)


def test_rank_takes_what_predict_takes(golden: Path) -> None:
    model = CrossEncoder(golden / "bert_seqcls_1label" / "model", device="cpu", prompts={"judge": "judge : "})
    pairs = [(QUERY, document) for document in DOCUMENTS]
    for options in (
        {},
        {"prompt": "is it ? "},
        {"prompt_name": "judge"},
        {"activation_fn": torch.tanh},
        {"processing_kwargs": {"text": {"max_length": 8}}},
        {"max_length": 8},
        {"batch_size": 2, "device": "cpu", "show_progress_bar": False},
    ):
        expected = model.predict(pairs, **options)
        hits = model.rank(QUERY, DOCUMENTS, **options)
        assert [hit["score"] for hit in hits] == sorted(expected.tolist(), reverse=True)
        assert [expected[hit["corpus_id"]] for hit in hits] == [hit["score"] for hit in hits]


def test_a_score_that_is_no_number_raises_unless_allowed_and_then_ranks_last() -> None:
    model = letters_model(lambda letters: torch.where(letters[:, 1] == 1, float("nan"), letters[:, 1]))
    with pytest.raises(NonFiniteScoresError) as refused:
        model.rank("q", DOCUMENTS)
    assert refused.value.indices == (1,)
    assert order(model.rank("q", DOCUMENTS, allow_non_finite=True)) == [3, 0, 2, 4, 1]


@pytest.mark.parametrize(("wrong", "nearest"), [("topk", "top_k"), ("return_document", "return_documents")])
def test_an_unknown_keyword_is_refused_with_the_nearest_that_exists(wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownKeywordError, match=f"{wrong!r}.*did you mean {nearest!r}"):
        letters_model().rank("q", DOCUMENTS, **{wrong: 2})


@pytest.mark.parametrize("ignored", ["apply_softmax", "convert_to_numpy", "convert_to_tensor", "num_workers"])
def test_older_arguments_without_a_meaning_here_are_ignored_with_a_warning(ignored: str) -> None:
    with pytest.warns(FutureWarning, match=f"{ignored} has no effect"):
        assert order(letters_model().rank("q", DOCUMENTS, **{ignored: True})) == BEST_FIRST


def test_the_older_name_of_the_activation_works_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="activation_fct is called activation_fn today"):
        hits = letters_model().rank("q", DOCUMENTS, activation_fct=torch.neg)
    assert order(hits) == [3, 0, 2, 4, 1]
