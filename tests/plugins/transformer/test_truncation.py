"""Inputs longer than a model takes: what is cut, what never is, and what is told when nothing of a document is left."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_models import GOLDEN, load, save_tiny

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import InputError
from pairchain.modules import LogitScore, Transformer

TAIL = "<|im_end|>\n<answer>"
MESSAGES = "{% for m in ORDER %}<{{ m.role }}>{{ m.content }}{% endfor %}" + TAIL.replace("\n", "{{ '\\n' }}")
QUERY = "how many people live in berlin ?"
DOCUMENT = "berlin had a population of 3520031 registered inhabitants . mars is the red planet . " * 3
PAIRS = [(QUERY, DOCUMENT), ("x", "y"), (QUERY * 2, "short"), ("mars ?", DOCUMENT[40:])]


def chat_model(folder: Path, padding_side: str = "left", order: str = "messages", **options: Any) -> CrossEncoder:
    """Return a tiny chat model that ends every rendering in `TAIL`; a classifier, if it pads on the right."""
    folder.mkdir(exist_ok=True)
    (folder / "chat_template.jinja").write_text(MESSAGES.replace("ORDER", order))
    head, config = ("ForCausalLM", {}) if padding_side == "left" else ("ForSequenceClassification", {"num_labels": 1})
    processor_kwargs = {"padding_side": padding_side, "model_max_length": 512, **options}
    return load(Path(save_tiny(folder, "qwen3", head, **config)), processor_kwargs=processor_kwargs)


def rows(model: CrossEncoder, inputs: list[Any], **options: Any) -> list[list[int]]:
    """Return the tokens of each input, without padding."""
    features = model.preprocess(inputs, **options)
    pairs = zip(features["input_ids"], features["attention_mask"].bool(), strict=True)
    return [ids[mask].tolist() for ids, mask in pairs]


def shown(query: str, document: str, order: str = "messages") -> str:
    """Return a pair as the template shows it, in the order of its messages or the other way round."""
    sides = [f"<query>{query}", f"<document>{document}"]
    return "".join(sides if order == "messages" else sides[::-1]) + TAIL


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("limit", [100, 60, 45])
def test_the_end_of_the_template_is_never_cut(padding_side: str, limit: int, tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model", padding_side)
    tail = model.tokenizer(TAIL)["input_ids"]
    whole = rows(model, PAIRS)
    assert [row[-len(tail) :] for row in whole] == [tail] * 4
    assert len(whole[0]) > limit > len(whole[1])

    with warnings.catch_warnings():
        # with the shortest limit nothing of a document is left
        warnings.simplefilter("ignore", PairchainWarning)
        cut = rows(model, PAIRS, max_length=limit)
        bare = rows(model, PAIRS, max_length=limit, processing_kwargs={"chat_template": {"restore_suffix": False}})

    assert cut == [row if len(row) <= limit else row[: limit - len(tail)] + tail for row in whole]
    assert bare == [row[:limit] for row in whole]
    assert rows(model, PAIRS, max_length=len(whole[0]))[0] == whole[0]
    model.max_seq_length = limit
    assert rows(model, PAIRS, truncation=False) == whole


def test_a_tokenizer_that_cuts_on_the_left_keeps_the_end_by_itself(tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model", truncation_side="left")

    with pytest.warns(PairchainWarning, match="2 of 4 pairs in a batch lost their whole query to max_length=50"):
        assert rows(model, PAIRS, max_length=50) == [row[-50:] for row in rows(model, PAIRS)]
    # a warning would be an error here
    model.predict(PAIRS[1:3], max_length=50)


# A cut inside an emoji, which is several tokens and one character, must come to an end.
@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [DOCUMENT, "naïve 北京 🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂 yes\n\n\n  no  " * 4, "🙂" * 60],
    ids=["words", "mixed", "emoji"],
)
@pytest.mark.parametrize("room", [0, 1, 2, 3, 17, 40])
@pytest.mark.parametrize("order", ["messages", "messages[::-1]"], ids=["query first", "document first"])
def test_only_the_document_is_cut_when_asked_and_no_more_than_needed(
    document: str, room: int, order: str, tmp_path: Path
) -> None:
    model = chat_model(tmp_path / "model", order=order)

    def tokens(count: int) -> list[int]:
        ids: list[int] = model.tokenizer(shown(QUERY, document[:count], order))["input_ids"]
        return ids

    limit = len(tokens(0)) + room
    assert len(tokens(len(document))) > limit
    longest = max(count for count in range(len(document) + 1) if len(tokens(count)) <= limit)

    with warnings.catch_warnings():
        if not longest:
            warnings.simplefilter("ignore", PairchainWarning)
        cut = rows(model, [(QUERY, document), ("x", "y")], max_length=limit, truncation="document")

    assert cut == [tokens(longest), model.tokenizer(shown("x", "y", order))["input_ids"]]


def test_only_the_document_is_cut_in_conversations_and_with_a_prompt(tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model")
    conversation = [{"role": "query", "content": QUERY}, {"role": "document", "content": DOCUMENT}]
    several = [*conversation, {"role": "document", "content": "mars"}]

    (row,) = rows(model, [conversation], prompt="judge", max_length=80, truncation="document")

    assert len(row) == 80
    text = model.tokenizer.decode(row)
    start, end = f"<system>judge<query>{QUERY}<document>", TAIL
    assert text.startswith(start)
    assert text.endswith(end)
    assert DOCUMENT.startswith(text[len(start) : -len(end)])
    (row,) = rows(model, [several], max_length=80, truncation="document")
    assert model.tokenizer.decode(row).endswith("<document>mars" + TAIL)


@pytest.mark.parametrize("case", ["bert_seqcls_1label", "roberta_seqcls", "gpt2_causal_no_padside"])
def test_only_the_document_of_a_plain_pair_is_cut_when_asked(case: str) -> None:
    model = load(GOLDEN / case / "model")
    whole = model.tokenizer(QUERY, DOCUMENT)["input_ids"]
    query = model.tokenizer(QUERY, add_special_tokens=False)["input_ids"]
    ending = [] if "gpt2" in case else whole[-1:]
    limit = len(query) + 12

    (cut,) = rows(model, [(QUERY, DOCUMENT)], max_length=limit, truncation="document")

    assert cut == whole[: limit - len(ending)] + ending
    assert query in (cut[: len(query)], cut[1 : len(query) + 1])
    with pytest.raises(InputError, match="cannot be cut to max_length") as caught:
        model.predict([(DOCUMENT, QUERY)], max_length=limit, truncation="document")
    assert "longest_first" in caught.value.next_step


def test_the_way_to_cut_can_be_set_for_the_model(tmp_path: Path) -> None:
    chat_model(tmp_path / "model", order="messages[::-1]")
    settings = {"text": {"truncation": "document", "max_length": 60}}
    module = Transformer(str(tmp_path / "model"), transformer_task="text-generation", processing_kwargs=settings)
    model = CrossEncoder(modules=[module, LogitScore(314, 309)], device="cpu")

    by_call = rows(load(tmp_path / "model"), PAIRS[:1], max_length=60, truncation="document")

    assert rows(model, PAIRS[:1]) == by_call
    with pytest.warns(PairchainWarning, match="1 of 1 pairs in a batch lost their whole query to max_length=60"):
        assert rows(model, PAIRS[:1], truncation="longest_first") != by_call


@pytest.mark.parametrize("style", ["chat", "plain"])
def test_a_way_to_cut_that_there_is_not_is_refused_with_the_nearest(style: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model") if style == "chat" else load(GOLDEN / "bert_seqcls_1label" / "model")

    for wrong, nearest in (("documents", " (did you mean 'document'?)"), (5, ""), ("tail", "")):
        with pytest.raises(InputError) as caught:
            model.predict(PAIRS, truncation=wrong)
        assert f"there is no truncation {wrong!r}{nearest}" in str(caught.value)
        assert "longest_first" in caught.value.next_step
    if style == "chat":
        with pytest.raises(InputError, match="truncation='only_second' finds no second text") as caught:
            model.predict(PAIRS, truncation="only_second", max_length=20)
        assert "use truncation='document'" in caught.value.next_step


# sentence-transformers 6.2.0 scores pairs without their documents, all alike, and says nothing.
@pytest.mark.parametrize("way", ["longest_first", "document"])
def test_pairs_that_lost_their_whole_document_are_counted_in_a_warning(way: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model")
    pairs = [(QUERY * 2, DOCUMENT), (QUERY * 2, "short"), ("mars ?", DOCUMENT), (QUERY * 2, "")]

    with pytest.warns(PairchainWarning) as caught:
        scores = model.predict(pairs, max_length=50, truncation=way)

    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    (warning,) = caught
    for part in ("2 of 4 pairs", "lost their whole document to max_length=50", "Raise max_length"):
        assert part in str(warning.message)
    with pytest.warns(PairchainWarning, match="1 of 1 pairs"):
        model.rank(QUERY * 2, [DOCUMENT], max_length=50, truncation=way)
    with pytest.warns(PairchainWarning, match=r"4 of 4 .* whole query and 3 of 4 .* whole document to max_length=11"):
        model.predict(pairs, max_length=11, truncation=way)
    # a warning would be an error here
    model.predict(pairs[2:], max_length=50, truncation=way)
    model.predict(pairs, max_length=200, truncation=way)


def test_a_plain_pair_that_lost_a_whole_side_is_counted_in_a_warning() -> None:
    model = load(GOLDEN / "bert_seqcls_1label" / "model")
    pairs = [("a b c", "d e"), ("a b c", "x"), ("a b c", ""), ("a", ""), ("a b c", " ")]

    with pytest.warns(
        PairchainWarning, match="2 of 5 pairs in a batch lost their whole document to max_length=4"
    ) as told:
        scores = model.predict(pairs, max_length=4)

    assert len(told) == 1
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    with pytest.warns(PairchainWarning, match=r"1 of 1 .* whole query and 1 of 1 .* whole document to max_length=3"):
        model.rank("a", ["b"], max_length=3)
    # a warning would be an error here
    model.predict(pairs, max_length=5)
    model.predict(pairs[2:], max_length=4)
    model.predict([(QUERY, DOCUMENT)], max_length=12)


# sentence-transformers 6.2.0 cuts the end of the template off, and reads the score of a token of the document.
def test_a_pair_with_an_image_keeps_the_end_of_the_template_too() -> None:
    model = load(GOLDEN / "vlm_llava" / "model")
    image = Image.new("RGB", (28, 28), "red")
    tail = model.tokenizer("<|im_end|>\n<|im_start|>assistant")["input_ids"]
    pairs = [(image, DOCUMENT), (image, {"image": image, "text": DOCUMENT}), (image, "red")]
    whole = rows(model, pairs)

    cut = rows(model, pairs, max_length=80)

    assert [len(row) for row in cut] == [80, 80, len(whole[2])]
    assert cut == [row if len(row) <= 80 else row[: 80 - len(tail)] + tail for row in whole]
    assert rows(model, pairs, max_length=80, truncation="document")[0][-len(tail) :] == tail
    assert model.rank(image, [DOCUMENT], max_length=80)[0]["score"] == pytest.approx(
        model.predict([(image, DOCUMENT)], max_length=80)[0]
    )


def test_an_image_that_does_not_fit_is_refused_and_one_that_takes_the_place_of_the_end_is_warned_about() -> None:
    model = load(GOLDEN / "vlm_llava" / "model")
    image = Image.new("RGB", (28, 28), "red")
    (whole,) = rows(model, [(QUERY, image)])

    with pytest.raises(InputError, match=r"^input 1: .*Mismatch in `image` token count") as caught:
        model.predict([(image, "red"), (DOCUMENT, image)], max_length=80)
    assert "increase `max_length`" in str(caught.value)
    limit = len(whole) - 1
    with pytest.warns(PairchainWarning, match=f"1 of 2 pairs in a batch end in media and are longer than .*{limit}"):
        model.predict([("x", image), (QUERY, image)], max_length=limit)
    # a warning would be an error here
    assert model.predict([("x", image), (QUERY, image)], max_length=len(whole)).shape == (2,)


def test_a_chat_model_without_padding_token_says_how_to_name_one(tmp_path: Path) -> None:
    chat_model(tmp_path / "model")
    config = tmp_path / "model" / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"pad_token": "<|endoftext|>",', ""))

    model = load(tmp_path / "model", backend="transformers")

    with pytest.raises(InputError, match="has no padding token") as caught:
        model.predict(PAIRS)
    assert "processor_kwargs={'pad_token': '<|im_end|>'}" in caught.value.next_step
    named = load(tmp_path / "model", backend="transformers", processor_kwargs={"pad_token": "<|im_end|>"})
    scores = named.predict(PAIRS)
    assert scores == pytest.approx([named.predict(pair) for pair in PAIRS], abs=1e-6)
    # packed execution has no padding
    assert load(tmp_path / "model", backend="packed").predict(PAIRS) == pytest.approx(scores, abs=1e-5)
