"""Chat templates: which form of content they read, and what is done with one that does not carry a pair."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tiny_models import GOLDEN, PAIRS, edited, load, save_tiny, scores

from pairchain import CrossEncoder
from pairchain.errors import ChainError, InputError
from pairchain.modules import LogitScore, Transformer

FLAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
STRUCTURED = "{% for m in messages %}<{{ m.role }}>{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}"
EITHER = (
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{{ c.text }}{% endfor %}{% endif %}{% endfor %}"
)
# as an instruction-tuned model has it: for turns of its users, and for nobody else's
USERS_ONLY = "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}{% endif %}{% endfor %}"
RAISES = (
    "{% for m in messages %}{% if m.role not in ('user', 'assistant') %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{{ m.content }}{% endfor %}"
)


def checkpoint(folder: Path, template: str | None, head: str = "ForCausalLM", **config: Any) -> Path:
    """Return a tiny checkpoint with a chat template, as the transformers library saves it."""
    folder.mkdir(exist_ok=True)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return Path(save_tiny(folder, "qwen3", head, **config))


def rendered(model: CrossEncoder, pair: tuple[str, str] = ("a", "b"), **chat_template: Any) -> str:
    """Return what the model is shown of a pair."""
    settings = {"chat_template": chat_template}
    return str(model.tokenizer.decode(model.preprocess([pair], processing_kwargs=settings)["input_ids"][0]))


_CONTENT = "messages | selectattr('role', 'eq', '{role}')"
_FLAT_ROLE = "{{{{ " + _CONTENT + " | map(attribute='content') | first }}}}"
_STRUCTURED_ROLE = "{{{{ (" + _CONTENT + " | first).content[0].text }}}}"
_TOOLS = "{% if m.tool_calls %}{{ m.tool_calls[0]['type'] }}{% endif %}"

# The template, the form of content it reads, and how it shows the pair a, b.
FORMS = [
    (FLAT, "flat", "<query>a<document>b"),
    (STRUCTURED, "structured", "<query>a<document>b"),
    (EITHER, "flat", "<query>a<document>b"),
    ("{% for m in messages %}{{ m.role }}:{{ m.content[0].text }};{% endfor %}", "structured", "query:a;document:b;"),
    ("{% for m in messages %}{{ m['content'][0]['text'] }}.{% endfor %}", "structured", "a.b."),
    ("{% for m in messages %}" + _TOOLS + "{{ m.content }}.{% endfor %}", "flat", "a.b."),
    ('{# "type" item.type content[0] #}{% for m in messages %}{{ m.content }}.{% endfor %}', "flat", "a.b."),
    ("{% for m in messages %}{{ m.content | trim }}|{% endfor %}", "flat", "a|b|"),
    ("{% for m in messages %}{{ m.content | upper }}|{% endfor %}", "flat", "A|B|"),
    ("".join(_FLAT_ROLE.format(role=role) for role in ("query", "document")), "flat", "ab"),
    ("".join(_STRUCTURED_ROLE.format(role=role) for role in ("query", "document")), "structured", "ab"),
]


# sentence-transformers 6.2.0 looks for words such as 'type' in the source of a template.
@pytest.mark.slow
@pytest.mark.parametrize(("template", "style", "shown"), FORMS)
def test_the_form_of_content_is_the_one_that_the_template_renders(
    template: str, style: str, shown: str, tmp_path: Path
) -> None:
    model = load(checkpoint(tmp_path / "model", template))

    assert model[0].modality_config["message"]["format"] == style
    assert rendered(model) == shown
    model.save_pretrained(tmp_path / "again")
    assert load(tmp_path / "again")[0].modality_config == model[0].modality_config


def test_a_template_that_reads_both_forms_takes_parts_where_there_are_images(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "vlm_llava" / "model", tmp_path / "model"))
    (folder / "chat_template.jinja").write_text(EITHER)

    module = Transformer(str(folder), transformer_task="any-to-any")

    assert module.modality_config["message"]["format"] == "structured"


def test_the_form_that_was_saved_is_the_one_that_is_used(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "model", EITHER))
    model.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "sentence_bert_config.json").read_text())["modality_config"]
    assert config["message"]["format"] == "flat"

    config["message"]["format"] = "structured"
    template = "{% for m in messages %}{{ 'flat' if m.content is string else 'structured' }}{% endfor %}"
    again = load(edited(tmp_path / "saved", modality_config=config))

    assert again.predict(PAIRS) == pytest.approx(model.predict(PAIRS), abs=1e-6)
    again.processor.chat_template = EITHER + template
    assert rendered(again) == "<query>a<document>bstructuredstructured"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (USERS_ONLY, "the query and the document do not appear in what it renders"),
        ("{{ messages[0].content }}", "the document does not appear"),
        ("{{ messages[-1].content }}", "the query does not appear"),
        ("{% for m in messages %}<{{ m.role }}>{% endfor %}", "the query and the document do not appear"),
        (RAISES, "it raised TemplateError: Only user and assistant roles are supported!"),
        ("{% for m in messages %}{{ m.nothing.at.all }}{% endfor %}", "it raised UndefinedError"),
        ("{% for m in messages", "it raised TemplateSyntaxError"),
    ],
)
def test_a_template_that_loses_a_side_is_refused_with_one_that_does_not(
    template: str, said: str, tmp_path: Path
) -> None:
    model = load(checkpoint(tmp_path / "model", template))

    for call in (lambda: model.predict([("a", "b")]), lambda: model.rank("a", ["b"])):
        with pytest.raises(ChainError) as caught:
            call()
        for part in (str(tmp_path / "model"), "cannot carry a pair", said):
            assert part in str(caught.value)

    assert "model.processor.chat_template" in caught.value.next_step
    model.processor.chat_template = dedent(caught.value.next_step.partition("such as:\n")[2])
    assert rendered(model) == "<Query>: a\n<Document>: b"
    anew = load(checkpoint(tmp_path / "anew", model.processor.chat_template))
    assert model.predict(PAIRS) == pytest.approx(anew.predict(PAIRS), abs=1e-6)
    model.processor.chat_template = template
    with pytest.raises(ChainError, match="cannot carry a pair"):
        model.predict([("a", "b")])


def test_the_template_in_the_refusal_reads_parts_where_the_model_does() -> None:
    model = load(GOLDEN / "vlm_llava" / "model")
    expected = model.predict([("a bee", "a flower")])
    original = model.processor.chat_template
    model.processor.chat_template = "{% for m in messages %}<{{ m.role }}>{% endfor %}"

    with pytest.raises(ChainError, match="do not appear") as caught:
        model.predict([("a bee", "a flower")])

    model.processor.chat_template = dedent(caught.value.next_step.partition("such as:\n")[2])
    assert rendered(model) == "<Query>: a\n<Document>: b"
    model.processor.chat_template = original
    assert model.predict([("a bee", "a flower")]) == pytest.approx(expected)


def test_conversations_without_a_pair_need_no_template_that_carries_one(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "model", USERS_ONLY))
    alone = [{"role": "user", "content": "hello"}]

    assert model.predict([alone]).shape == (1,)
    with pytest.raises(ChainError, match="cannot carry a pair"):
        model.predict([alone, ("a", "b")])
    with pytest.raises(ChainError, match="cannot carry a pair"):
        model.predict([[{"role": "query", "content": "a"}, {"role": "document", "content": "b"}]])


def test_a_template_that_was_given_when_loading_comes_before_the_saved_one(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", USERS_ONLY)

    model = load(folder, processor_kwargs={"chat_template": STRUCTURED})

    assert rendered(model) == "<query>a<document>b"
    model.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "chat_template.jinja").read_text() == STRUCTURED
    assert load(tmp_path / "again").predict(PAIRS).tolist() == model.predict(PAIRS).tolist()


def test_a_template_among_several_is_chosen_by_its_name(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", None)
    named = {"default": USERS_ONLY, "rerank": FLAT}
    templates = [{"name": name, "template": template} for name, template in named.items()]
    model = load(edited(folder, "tokenizer_config.json", chat_template=templates))

    with pytest.raises(ChainError, match="cannot carry a pair"):
        model.predict(PAIRS)

    assert rendered(model, chat_template="rerank") == "<query>a<document>b"
    settings = {"chat_template": {"chat_template": "rerank"}}
    module = Transformer(str(folder), transformer_task="text-generation", processing_kwargs=settings)
    chosen = CrossEncoder(modules=[module, LogitScore(314, 309)], device="cpu")
    assert chosen.predict(PAIRS) == pytest.approx(model.predict(PAIRS, processing_kwargs=settings), abs=1e-6)


def test_settings_of_the_template_reach_it_and_the_check(tmp_path: Path) -> None:
    template = (
        "{% if as_pair %}{{ messages[0].content }}|{{ messages[1].content }}{% endif %}"
        "{% if add_generation_prompt %}<answer>{% endif %}"
    )
    model = load(checkpoint(tmp_path / "model", template))

    with pytest.raises(ChainError, match="cannot carry a pair"):
        rendered(model)
    assert rendered(model, as_pair=True) == "a|b"
    assert rendered(model, as_pair=True, add_generation_prompt=True) == "a|b<answer>"
    cut = rendered(model, ("a", "1 2 3 4 5 6"), as_pair=True, add_generation_prompt=True, max_length=10)
    assert cut.startswith("a|1")
    assert cut.endswith("<answer>")
    assert "4" not in cut
    with pytest.raises(InputError, match="max_length must be a positive integer, got 0"):
        rendered(model, as_pair=True, max_length=0)


# sentence-transformers 6.2.0 refuses every pair for such a model, which earlier versions trained on joined texts.
@pytest.mark.parametrize("template", [USERS_ONLY, RAISES])
def test_an_older_classifier_with_the_template_of_a_chat_model_scores_pairs_as_plain_text(
    template: str, tmp_path: Path
) -> None:
    expected = scores(checkpoint(tmp_path / "plain", None, "ForSequenceClassification", num_labels=1))

    model = load(checkpoint(tmp_path / "model", template, "ForSequenceClassification", num_labels=1))

    assert model[0].modalities == ["text"]
    assert model.predict(PAIRS).tolist() == expected
    model.save_pretrained(tmp_path / "again")
    assert scores(tmp_path / "again") == expected
    # whoever chooses a template means it
    chosen = load(tmp_path / "model", processor_kwargs={"chat_template": template})
    with pytest.raises(ChainError, match="cannot carry a pair"):
        chosen.predict(PAIRS)


@pytest.mark.parametrize(("chosen", "style"), [(FLAT, "flat"), (STRUCTURED, "structured")])
def test_a_template_that_is_set_later_is_used_by_an_older_classifier_too(
    chosen: str, style: str, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "model", USERS_ONLY, "ForSequenceClassification", num_labels=1)
    model = load(folder)
    plain = model.predict(PAIRS).tolist()
    expected = load(folder, processor_kwargs={"chat_template": chosen}).predict(PAIRS).tolist()
    for_one_call = {"chat_template": {"chat_template": chosen}}

    assert model.predict(PAIRS, processing_kwargs=for_one_call).tolist() == expected
    assert rendered(model, chat_template=chosen) == "<query>a<document>b"
    assert model.predict(PAIRS).tolist() == plain
    with pytest.raises(ChainError, match="Only user and assistant roles are supported!"):
        model.predict(PAIRS, processing_kwargs={"chat_template": {"chat_template": RAISES}})
    model.processor.chat_template = chosen
    assert model.predict(PAIRS).tolist() == expected
    assert model[0].modality_config["message"]["format"] == style
    assert model.predict([{"role": "query", "content": "a"}, {"role": "document", "content": "b"}]).shape == ()
    model.save_pretrained(tmp_path / "again")
    assert scores(tmp_path / "again") == expected
    model.processor.chat_template = USERS_ONLY
    assert model.predict(PAIRS).tolist() == plain


def test_an_older_classifier_whose_template_carries_pairs_scores_them_through_it(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "model", FLAT, "ForSequenceClassification", num_labels=1))

    assert rendered(model) == "<query>a<document>b"
    assert model[0].modalities == ["text", "message"]
