"""What the page of `pairchain view` is told of models of every kind, and how a score is explained by occlusion."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tiny_models import GOLDEN, PAIRS

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_cli.authoring import ModelOptions
from pairchain_view import attribution
from pairchain_view.session import Session

QUERY, DOCUMENT = PAIRS[0]
RED, BLUE = (GOLDEN / "vlm_llava" / "assets" / f"{name}.png" for name in ("red", "blue"))


def folder(case: str) -> Path:
    return GOLDEN / case / "model"


@cache
def session(case: str) -> Session:
    return Session.load(ModelOptions(model=str(folder(case)), trust_remote_code=["any"]))


@cache
def model(case: str) -> CrossEncoder:
    return CrossEncoder(folder(case))


def side(text: str = "", image: str = "") -> dict[str, str]:
    return {"text": text, "image": image}


def score(asked: Session, query: dict[str, str], *documents: dict[str, str], **options: Any) -> list[list[Any]]:
    answer = asked.score(json.dumps({"query": query, "documents": documents, **options}).encode())
    json.dumps(answer, allow_nan=False)
    scores: list[list[Any]] = answer["scores"]
    return scores


def explain(asked: Session, query: dict[str, str], document: dict[str, str], **options: Any) -> list[dict[str, Any]]:
    return list(asked.explain(json.dumps({"query": query, "documents": [document], **options}).encode()))


def test_a_router_is_told_as_branches_with_the_modules_of_each() -> None:
    (router,) = session("router_with_vlm").about()["modules"]
    routes = {route["name"]: route for route in router["routes"]}
    assert [module["class"] for module in routes["text"]["modules"]] == ["Transformer"]
    assert [module["class"] for module in routes["vlm"]["modules"]] == ["Transformer", "LogitScore"]
    assert [name for name, route in routes.items() if route["is_default"]] == ["vlm"]
    head = routes["vlm"]["modules"][1]
    assert head["provider"]["name"] == "pairchain-logit-score"
    assert head["type"] == "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"


def test_a_router_scores_by_the_task_that_is_chosen() -> None:
    asked = session("router_by_task")
    tasks = asked.about()["form"]["tasks"]
    assert len(tasks) > 1
    for task in tasks:
        expected = float(model("router_by_task").predict([(QUERY, DOCUMENT)], task=task)[0])
        assert score(asked, side(QUERY), side(DOCUMENT), task=task)[0] == [pytest.approx(expected, abs=1e-6)]


@pytest.mark.parametrize("case", ["bert_encoder_only_new_head", "legacy_v3_plain_hf", "legacy_causal_plain_hf"])
def test_a_checkpoint_without_a_saved_chain_is_told_as_the_chain_made_of_it(case: str) -> None:
    modules = session(case).about()["modules"]
    assert modules[0]["class"] == "Transformer"
    assert modules[0]["provider"]["name"] == "pairchain-transformer"


def test_several_scores_a_pair_come_with_their_names() -> None:
    asked = session("bert_seqcls_3labels")
    (row,) = score(asked, side(QUERY), side(DOCUMENT))
    assert row == pytest.approx(model("bert_seqcls_3labels").predict([(QUERY, DOCUMENT)])[0].tolist(), abs=1e-6)
    assert len(asked.about()["labels"]) == 3


def test_scores_can_be_had_before_the_activation() -> None:
    raw = score(session("bert_seqcls_1label"), side(QUERY), side(DOCUMENT), raw=True)
    expected = model("bert_seqcls_1label").predict([(QUERY, DOCUMENT)], activation_fn=torch.nn.Identity())
    assert raw[0] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("chosen", [{}, {"prompt": ""}, {"prompt_name": "doc"}, {"prompt": "tell : "}])
def test_the_prompt_that_is_chosen_is_used(chosen: dict[str, str]) -> None:
    expected = model("prompts_defaults").predict([(QUERY, DOCUMENT)], **chosen)
    found = score(session("prompts_defaults"), side(QUERY), side(DOCUMENT), **chosen)
    assert found[0] == pytest.approx(expected.tolist(), abs=1e-6)


def test_an_image_scores_as_its_file_does() -> None:
    asked = session("vlm_llava")
    keys = [asked.add_image(path.read_bytes())["key"] for path in (RED, BLUE)]
    rows = score(asked, side("a red square"), *(side(image=key) for key in keys), side("a text", keys[0]))
    expected = model("vlm_llava").predict(
        [
            ("a red square", str(RED)),
            ("a red square", str(BLUE)),
            ("a red square", {"text": "a text", "image": str(RED)}),
        ]
    )
    assert [row[0] for row in rows] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_model_of_texts_refuses_an_image_in_words_of_its_own() -> None:
    asked = session("bert_seqcls_1label")
    assert asked.about()["form"]["takes_images"] is False
    with pytest.raises(InputError, match="input 0, element 1 is image; this model takes text"):
        score(asked, side(QUERY), side(image=asked.add_image(RED.read_bytes())["key"]))


@pytest.mark.parametrize("name", [str(RED), "https://pictures.example/bee.jpg", "data:image/png;base64,AAAA"])
def test_a_text_that_names_an_image_opens_no_file_and_no_address(name: str) -> None:
    with pytest.raises(InputError, match="this page opens neither"):
        score(session("vlm_llava"), side("a red square"), side(name))


@pytest.mark.parametrize("content", [b"", b"no image", RED.read_bytes()[:60], b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_of_the_web_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"the image cannot be opened(.|\n)*PNG, JPEG"):
        session("vlm_llava").add_image(content)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    # the size that a BMP's header claims
    header = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    header += (9000).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24)
    with pytest.raises(InputError, match="9,000 × 9,000 pixels"):
        session("vlm_llava").add_image(header)


def test_scores_that_are_no_numbers_are_told_as_text(tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(folder("bert_seqcls_1label"), tmp_path / "model"))
    weights = safetensors.torch.load_file(damaged / "model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    safetensors.torch.save_file(weights, damaged / "model.safetensors", {"format": "pt"})
    asked = Session.load(ModelOptions(model=str(damaged)))
    assert score(asked, side(QUERY), side(DOCUMENT)) == [["nan"]]
    with pytest.raises(InputError, match="the score of this pair is nan"):
        explain(asked, side(QUERY), side(DOCUMENT))


@pytest.mark.parametrize("unit", attribution.UNITS)
def test_every_piece_is_scored_without_it_however_a_pair_is_cut(unit: str) -> None:
    first, *more = explain(session("bert_seqcls_1label"), side(QUERY), side("yes ! no ?"), unit=unit)
    texts = ["".join(text for text, _ in pieces) for pieces in first["sides"]]
    numbers = [number for pieces in first["sides"] for _, number in pieces if number is not None]
    assert texts == [QUERY, "yes ! no ?"]
    assert numbers == list(range(first["count"]))
    assert sum(len(line["without"]) for line in more) == first["count"] > 2


def test_the_score_to_explain_can_be_any_of_several() -> None:
    expected = model("bert_seqcls_3labels").predict([(QUERY, DOCUMENT)])[0]
    for label in range(3):
        first, *_ = explain(session("bert_seqcls_3labels"), side(QUERY), side(DOCUMENT), label=label)
        assert first["score"] == pytest.approx(float(expected[label]), abs=1e-6)
    with pytest.raises(InputError, match="there is no score 3; this model gives 3 per pair"):
        explain(session("bert_seqcls_3labels"), side(QUERY), side(DOCUMENT), label=3)


def test_beside_an_image_the_words_are_explained_and_the_image_stays() -> None:
    asked = session("vlm_llava")
    key = asked.add_image(RED.read_bytes())["key"]
    first, line = explain(asked, side("a red square"), side(image=key))
    expected = model("vlm_llava").predict([(text, str(RED)) for text in ("red square", "a square", "a red ")])
    assert first["sides"][1] == []
    assert line["without"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_pair_with_too_many_words_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"has 401 words(.|\n)*limit is 400(.|\n)*choose sentences instead"):
        explain(session("bert_seqcls_1label"), side("a"), side("b " * 400))


def test_a_pair_without_a_word_says_so() -> None:
    asked = session("vlm_llava")
    key = asked.add_image(RED.read_bytes())["key"]
    with pytest.raises(InputError, match="this pair has no text"):
        explain(asked, side(image=key), side(image=key))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't sell 3,520,031 e-bikes!", ["Don't", "sell", "3,520,031", "e-bikes", "!"]),
        ("柏林有350万人。", ["柏", "林", "有", "350", "万", "人", "。"]),
        ("  (a)\n", ["(", "a", ")"]),
        ("", []),
    ],
)
def test_words_are_what_a_reader_calls_words(text: str, words: list[str]) -> None:
    (_, spans) = attribution.plan(("a", text), "words").spans
    assert [text[start:end] for start, end in spans] == words


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = "It has 3.5 million people. Really?! Yes\nA list 柏林很大。好"
    (_, spans) = attribution.plan(("a", text), "sentences").spans
    found = [text[start:end] for start, end in spans]
    assert found == ["It has 3.5 million people.", "Really?!", "Yes", "A list 柏林很大。", "好"]
