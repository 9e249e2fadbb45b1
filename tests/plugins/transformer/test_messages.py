"""Pairs and conversations for models with a chat template: roles, forms of content, system messages, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import GOLDEN, load, save_tiny

from pairchain import CrossEncoder
from pairchain.errors import InputError, PairchainError
from pairchain.modules import Transformer

pytestmark = pytest.mark.slow

TEMPLATES = {
    "flat": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    "structured": "{% for m in messages %}<{{ m.role }}>{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}",
}
PAIRS = [("how many people ?", "berlin had a population"), ("mars", "the red planet"), ("x", "")]
TASK = "sequence-classification"
SOUND = np.linspace(-1, 1, 8000, dtype=np.float32)
PICTURE = Image.new("RGB", (28, 28), "red")


def chat_model(folder: Path, style: str = "flat", **options: Any) -> CrossEncoder:
    """Return a tiny causal model whose template shows every message after its role."""
    folder.mkdir(exist_ok=True)
    (folder / "chat_template.jinja").write_text(TEMPLATES[style])
    return load(Path(save_tiny(folder, "qwen3", "ForCausalLM")), **options)


def rendered(model: CrossEncoder, inputs: list[Any], prompt: str | None = None) -> list[str]:
    """Return what the model is shown of each input."""
    features = model.preprocess(inputs, prompt=prompt)
    rows = zip(features["input_ids"], features["attention_mask"].bool(), strict=True)
    return [model.tokenizer.decode(ids[mask]) for ids, mask in rows]


def seen(model: CrossEncoder, call: Callable[[], Any]) -> str:
    """Return the one row of tokens that reaches the model during a call, as text."""
    rows: list[torch.Tensor] = []
    handle = model.model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.extend(kwargs["input_ids"]), with_kwargs=True
    )
    call()
    handle.remove()
    assert len(rows) == 1
    return str(model.tokenizer.decode(rows[0]))


def user(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("style", TEMPLATES)
def test_a_pair_is_a_message_of_the_role_query_and_one_of_the_role_document(style: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / style, style)

    assert rendered(model, PAIRS) == [f"<query>{query}<document>{document}" for query, document in PAIRS]
    assert model[0].modality_config["message"]["format"] == style
    conversations = [[user(query, "query"), user(document, "document")] for query, document in PAIRS]
    assert model.predict(conversations).tolist() == model.predict(PAIRS).tolist()
    query, documents = PAIRS[0][0], [document for _, document in PAIRS]
    ranking = model.rank(query, documents)
    together = model.predict([(query, document) for document in documents])
    assert {hit["corpus_id"]: hit["score"] for hit in ranking} == dict(enumerate(together.tolist()))


@pytest.mark.parametrize("style", TEMPLATES)
def test_pairs_and_conversations_score_the_same_together_and_alone(style: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / style, style)
    inputs = [*PAIRS, [user("hello")], [user("be brief", "system"), user("hello"), user("world", "assistant")]]

    alone = [model.predict([item])[0] for item in inputs]

    for batch_size in (1, 2, 32):
        assert model.predict(inputs, batch_size=batch_size) == pytest.approx(alone, abs=1e-6)


# sentence-transformers 6.2.0 loses or prints content that comes in the other form, and scores it.
@pytest.mark.parametrize("style", TEMPLATES)
def test_content_in_the_other_form_scores_like_content_in_the_form_of_the_template(style: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / style, style)
    pair = ("how many people ?", "berlin")
    flat = [user(text, role) for role, text in zip(("query", "document"), pair, strict=True)]
    structured = [user([{"type": "text", "text": m["content"]}], m["role"]) for m in flat]
    in_parts = [user([{"text": m["content"][:3]}, {"type": "text", "text": m["content"][3:]}], m["role"]) for m in flat]

    for form in (flat, structured, in_parts):
        assert rendered(model, [form]) == ["<query>how many people ?<document>berlin"]
        assert model.predict([form])[0] == model.predict([pair])[0]
        assert model.predict(form) == pytest.approx(model.predict(pair))


@pytest.mark.parametrize("style", TEMPLATES)
def test_a_prompt_is_told_as_the_system_message(style: str, tmp_path: Path) -> None:
    prompts = {"web": "find pages", "empty": ""}
    model = chat_model(tmp_path / style, style, prompts=prompts, default_prompt_name="web")
    plain = "<query>a<document>b"

    for said, told in [
        ({}, f"<system>find pages{plain}"),
        ({"prompt": "judge"}, f"<system>judge{plain}"),
        ({"prompt_name": "web"}, f"<system>find pages{plain}"),
        ({"prompt_name": "empty"}, plain),
        ({"prompt": ""}, plain),
    ]:
        assert seen(model, lambda said=said: model.predict([("a", "b")], **said)) == told
        assert seen(model, lambda said=said: model.rank("a", ["b"], **said)) == told


# sentence-transformers 6.2.0 puts the default prompt before it, and templates that take the first one lose the user's.
@pytest.mark.parametrize("style", TEMPLATES)
@pytest.mark.parametrize("said", [{}, {"prompt": "judge"}, {"prompt_name": "web"}])
def test_a_conversation_keeps_its_own_system_message_and_gets_no_other(
    style: str, said: dict[str, str], tmp_path: Path
) -> None:
    model = chat_model(tmp_path / style, style, prompts={"web": "find pages"}, default_prompt_name="web")
    pair = [user("a", "query"), user("b", "document")]

    first = seen(model, lambda: model.predict([user("mine", "system"), *pair], **said))
    last = seen(model, lambda: model.predict([[*pair, user([{"type": "text", "text": "mine"}], "system")]], **said))
    none = seen(model, lambda: model.predict(pair, **said))

    assert first == "<system>mine<query>a<document>b"
    assert last == "<query>a<document>b<system>mine"
    assert none == f"<system>{said.get('prompt', 'find pages')}<query>a<document>b"


@pytest.mark.parametrize("style", ["flat", "structured", None])
@pytest.mark.parametrize(
    ("side", "said"),
    [
        (PICTURE, "is image"),
        (np.zeros((28, 28, 3), dtype=np.uint8), "is image"),
        (torch.zeros(3, 28, 28), "is image"),
        (SOUND, "is audio"),
        ({"array": SOUND, "sampling_rate": 16000}, "is audio"),
        (np.zeros((2, 3, 28, 28), dtype=np.uint8), "is video"),
        ({"text": "a caption", "image": PICTURE}, "is image"),
        ({"image": "picture.png"}, "is image"),
        (["a", "b"], "is the list ['a', 'b'], which is neither text, image, audio nor video"),
        ({"title": "x"}, "is a dict with the key 'title'"),
        ({"text": 5}, "holds the int 5 under 'text'"),
        (None, "is None, which is neither"),
        (5, "is the int 5, which is neither"),
        (b"text", "is an object of type bytes"),
    ],
)
def test_a_text_model_refuses_whatever_is_no_text_before_it_computes_anything(
    style: str | None, side: Any, said: str, tmp_path: Path
) -> None:
    model = load(GOLDEN / "bert_seqcls_1label" / "model") if style is None else chat_model(tmp_path / style, style)
    calls: list[Any] = []
    model.model.register_forward_pre_hook(lambda *_: calls.append(1))

    for position, pair in ((1, ("a", side)), (0, (side, "a"))):
        with pytest.raises(InputError) as caught:
            model.predict([("a", "b")] * 3 + [pair], batch_size=1)
        assert f"input 3, element {position} {said}" in str(caught.value)
        assert caught.value.next_step
        if "under" not in said:
            assert "takes text" in str(caught.value)
    with pytest.raises(InputError, match="input 1, element 1"):
        model.rank("a", ["b", side])
    assert calls == []


@pytest.mark.parametrize(
    ("case", "side", "said"),
    [
        ("vlm_llava", SOUND, "is audio; this model takes text, image, message"),
        ("vlm_llava", {"text": "a", "audio": SOUND}, "is audio; this model takes text, image, message"),
        ("vlm_llava", np.zeros((2, 3, 28, 28)), "is video; this model takes text, image, message"),
        ("audio_qwen2_audio", PICTURE, "is image; this model takes text, audio, message"),
        ("audio_qwen2_audio", {"image": [PICTURE, PICTURE]}, "is image; this model takes text, audio, message"),
    ],
)
def test_a_model_of_one_medium_refuses_another(case: str, side: Any, said: str) -> None:
    model = load(GOLDEN / case / "model")

    with pytest.raises(InputError) as caught:
        model.predict([("a", "b"), ("a", side)])
    assert f"input 1, element 1 {said}" in str(caught.value)
    kind = "audio" if "audio" in said.partition(";")[0] else "video" if "video" in said else "image"
    with pytest.raises(InputError, match=f"input 0 is {kind}; this model takes"):
        model.predict([[user([{"type": kind, kind: "somewhere"}])]])


@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        ([user("a"), "b"], "input 0 holds a chat message beside the str 'b'"),
        ([user("a"), ("x", "y")], "input 0 holds a chat message beside the tuple ('x', 'y')"),
        ([user(None)], "input 0: the content of a message is None"),
        ([user(["a", "b"])], "input 0: the content of a message is the list ['a', 'b']"),
        ([user([{"type": "text"}])], "input 0: a part of a message holds None under 'text'"),
        ([user([{"type": "text", "text": ["a"]}])], "input 0: a part of a message holds the list ['a'] under 'text'"),
        ([user([{"type": "image_url", "image_url": {"url": "x"}}])], "input 0 is image; this model takes text"),
        ([user([{"type": "image", "image": PICTURE}])], "input 0 is image; this model takes text"),
    ],
)
def test_what_is_no_conversation_is_refused(conversation: Any, said: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model")

    with pytest.raises(InputError) as caught:
        model.predict([conversation])

    assert said in str(caught.value)
    assert caught.value.next_step


def test_texts_that_are_no_pairs_are_refused_by_a_chat_model_too(tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model")

    for wrong in ("a", ["a"], ["a", "b", "c"], [("a", "b"), "c"], [("a",)], user("a")):
        with pytest.raises(InputError, match=r"not a pair|elements?, not 2"):
            model.predict(wrong)
    with pytest.raises(InputError, match="documents is the str 'abc'"):
        model.rank("a", "abc")


class Failing(Transformer):
    """Counts how often it is asked, and fails with the error of a programmer."""

    asked = 0

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        self.asked += 1
        raise TypeError("unsupported operand")


# sentence-transformers 6.2.0 takes any TypeError for a module without prompts, and tries again without one.
def test_a_type_error_of_a_module_comes_out_as_it_is_and_the_prompt_is_not_dropped(tmp_path: Path) -> None:
    module = Failing(save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1), transformer_task=TASK)
    model = CrossEncoder(modules=[module], device="cpu")

    for call in (lambda: model.predict([("a", "b")], prompt="p"), lambda: model.rank("a", ["b"], prompt="p")):
        module.asked = 0
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == "unsupported operand"
        assert module.asked == 1


@pytest.mark.parametrize("chat", [False, True])
def test_a_setting_that_cannot_be_hashed_goes_with_a_prompt(chat: bool, tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model") if chat else load(GOLDEN / "bert_seqcls_1label" / "model")
    settings = {"chat_template": {"tools": [{"name": "x"}]}} if chat else {"text": {"stop": ["a", {"b": 1}]}}

    assert model.predict(PAIRS, prompt="judge", processing_kwargs=settings).tolist() == pytest.approx(
        model.predict(PAIRS, prompt="judge").tolist()
    )


def test_what_a_template_refuses_is_told_with_its_own_words(tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model")
    model.processor.chat_template = (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )

    with pytest.raises(PairchainError, match="no tools here") as caught:
        model.predict([[user("a"), user("b", "tool")]])

    assert caught.value.next_step
    with pytest.raises(InputError, match="input 0 has no tokens"):
        model.predict([[user("")]])
