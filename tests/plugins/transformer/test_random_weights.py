"""Scores of weights that nobody gave a value are refused, until these are trained or loaded, or somebody insists."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from command import run
from safetensors.torch import load_file, save_file
from tiny_models import GOLDEN, PAIRS, edited, save_tiny
from transformers import AutoModelForSequenceClassification, T5Config, T5ForConditionalGeneration

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import ChainError, RandomWeightsError
from pairchain.modules import Dense, Pooling, Router, Transformer

pytestmark = pytest.mark.filterwarnings("ignore:.*they are random.*:pairchain.PairchainWarning")


def load(path: Any, **options: Any) -> CrossEncoder:
    return CrossEncoder(path, device="cpu", **options)


def t5(folder: Path) -> Path:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=151, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=3,
        decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / "bert_seqcls_1label" / "model" / name, folder)
    return folder


def listwise(folder: Path) -> Path:
    save_tiny(folder, "qwen3", "Model")
    (folder / "modeling.py").write_text("raise AssertionError('it ran')")
    return edited(folder, "config.json", architectures=["ForRanking"], auto_map={"AutoModel": "modeling.ForRanking"})


def without(folder: Path, part: str) -> Path:
    """Return a classifier's checkpoint after taking weights out of it."""
    save_tiny(folder, "bert", "ForSequenceClassification", num_labels=1, num_hidden_layers=2)
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if part not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


# A checkpoint: its weights that are random, what the error says it is, and what it says to do.
CHECKPOINTS: dict[str, tuple[Callable[[Path], Any], list[str], str, str]] = {
    "an encoder": (
        lambda folder: save_tiny(folder, "bert"),
        ["classifier.bias", "classifier.weight"],
        "BertModel: it has no classifier",
        "the cross-encoder that was trained from it",
    ),
    "a causal model": (
        lambda folder: save_tiny(folder, "gpt2", "LMHeadModel"),
        ["score.weight"],
        "GPT2LMHeadModel, a causal language model",
        "LogitScore(true_token_id=…",
    ),
    "an encoder-decoder": (
        t5,
        [f"classification_head.{name}" for name in ("dense.bias", "dense.weight", "out_proj.bias", "out_proj.weight")],
        "T5ForConditionalGeneration, an encoder-decoder language model",
        "transformer_task='text2text-generation'",
    ),
    "a listwise ranker": (
        listwise,
        ["score.weight"],
        "ForRanking, whose own code (modeling.ForRanking) computes scores",
        "transformers.AutoModel.from_pretrained",
    ),
    "a head that is missing": (
        lambda folder: without(folder, "classifier"),
        ["classifier.bias", "classifier.weight"],
        "which has this head, but the checkpoint does not",
        "leave out num_labels",
    ),
    "a layer that is missing": (
        lambda folder: without(folder, "layer.1.output.dense"),
        ["bert.encoder.layer.1.output.dense.bias", "bert.encoder.layer.1.output.dense.weight"],
        "the checkpoint is incomplete",
        "fetch the checkpoint again",
    ),
}


@pytest.fixture
def untrained(tmp_path: Path) -> CrossEncoder:
    return load(save_tiny(tmp_path / "encoder", "bert"))


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_score_of_random_weights_is_refused_with_their_names_and_what_loads_the_model(
    checkpoint: str, tmp_path: Path
) -> None:
    save, names, kind, remedy = CHECKPOINTS[checkpoint]

    # an encoder-decoder is only made a classifier for someone who asks for labels
    model = load(save(tmp_path), **({"num_labels": 1} if checkpoint == "an encoder-decoder" else {}))

    with pytest.raises(RandomWeightsError) as caught:
        model.predict(PAIRS)
    assert isinstance(caught.value, ChainError)
    assert list(caught.value.weights) == names
    assert names[0] in str(caught.value)
    assert kind in str(caught.value)
    assert remedy in caught.value.next_step
    assert "allow_random_head=True" in caught.value.next_step
    assert model.predict(PAIRS, allow_random_head=True).shape == (2,)


def test_an_error_about_many_weights_is_short(tmp_path: Path) -> None:
    model = load(without(tmp_path, "bert.encoder"))

    with pytest.raises(RandomWeightsError, match=r"and 28 more: they are random") as caught:
        model.predict(PAIRS)
    assert len(caught.value.weights) == 32
    assert len(str(caught.value)) < 1000


CALLS: dict[str, Callable[..., Any]] = {
    "predict": lambda model, **options: model.predict(PAIRS, **options),
    "a single pair": lambda model, **options: model.predict(PAIRS[0], **options),
    "rank": lambda model, **options: model.rank("x", ["y", "z"], **options),
    "rank_many": lambda model, **options: model.rank_many(["x"], [["y", "z"]], **options),
    "predict_stream": lambda model, **options: list(model.predict_stream(PAIRS, **options)),
    "trace": lambda model, **options: model.trace(PAIRS, **options),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_way_to_score_refuses_unless_it_is_told_otherwise(call: str, untrained: CrossEncoder) -> None:
    with pytest.raises(RandomWeightsError):
        CALLS[call](untrained)

    assert CALLS[call](untrained, allow_random_head=True) is not None
    untrained.allow_random_head = True
    assert CALLS[call](untrained) is not None


def test_a_stream_is_refused_before_anything_is_read_of_it(untrained: CrossEncoder) -> None:
    def pairs() -> Iterator[tuple[str, str]]:
        raise AssertionError("it was read")
        yield

    with pytest.raises(RandomWeightsError):
        untrained.predict_stream(pairs())


def test_a_model_may_be_loaded_for_such_scores(tmp_path: Path) -> None:
    assert load(save_tiny(tmp_path, "bert"), allow_random_head=True).predict(PAIRS).shape == (2,)


def test_who_tries_how_fast_a_model_is_needs_no_weights(untrained: CrossEncoder) -> None:
    assert untrained.probe_tokens_per_batch(PAIRS, candidates=[64]) == 64


def step(model: CrossEncoder) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    model(model.preprocess(PAIRS))["scores"].sum().backward()
    optimizer.step()


def into_head(model: CrossEncoder) -> None:
    torch.manual_seed(1)
    head = model[0].model.classifier
    head.load_state_dict({name: torch.randn_like(value) for name, value in head.state_dict().items()})


def short_step(model: CrossEncoder) -> None:
    optimizer = torch.optim.SGD(model[0].model.classifier.parameters(), lr=1e-6)
    model(model.preprocess(PAIRS))["scores"].sum().backward()
    optimizer.step()


TRAINED: dict[str, Callable[[CrossEncoder], Any]] = {
    "a step of training": step,
    "a short step of the head": short_step,
    "weights loaded into the head": into_head,
    "weights written to it": lambda model: model[0].model.classifier.weight.data.fill_(0.5),
    "another head": lambda model: setattr(model[0].model, "classifier", torch.nn.Linear(16, 1)),
    "another model": lambda model: setattr(
        model[0], "model", AutoModelForSequenceClassification.from_pretrained(GOLDEN / "bert_seqcls_1label" / "model")
    ),
}


@pytest.mark.parametrize("training", TRAINED)
@pytest.mark.parametrize("head", ["Model", "ForMaskedLM"])
def test_weights_that_were_trained_or_loaded_are_used(training: str, head: str, tmp_path: Path) -> None:
    model = load(save_tiny(tmp_path, "bert", head))
    with pytest.raises(RandomWeightsError):
        model.predict(PAIRS)

    TRAINED[training](model)

    assert model.predict(PAIRS).shape == (2,)


def test_the_pooler_alone_makes_no_trained_head(tmp_path: Path) -> None:
    model = load(save_tiny(tmp_path, "bert", "ForMaskedLM"))
    model[0].model.bert.embeddings.word_embeddings.weight.data.mul_(2.0)

    with pytest.raises(RandomWeightsError, match=r"bert\.pooler\.dense\.bias"):
        model.predict(PAIRS)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.half(),
        lambda model: model.bfloat16().float(),
        lambda model: model.half().bfloat16(),
        lambda model: model.bfloat16().half().double(),
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: model.requires_grad_(False),
        lambda model: model.train(),
    ],
)
def test_weights_that_were_only_moved_are_random_still(
    change: Callable[[CrossEncoder], CrossEncoder], untrained: CrossEncoder
) -> None:
    with pytest.raises(RandomWeightsError):
        change(untrained).predict(PAIRS)


def test_what_is_saved_untrained_is_refused_after_the_next_load_and_trained_by_any_library(
    untrained: CrossEncoder, tmp_path: Path
) -> None:
    with pytest.warns(
        PairchainWarning, match=r"classifier\.bias, classifier\.weight are saved although they are random"
    ):
        untrained.save_pretrained(tmp_path / "saved")

    for options in ({}, {"model_kwargs": {"dtype": "bfloat16"}}, {"model_kwargs": {"dtype": "float16"}}):
        with pytest.raises(RandomWeightsError, match="was saved without training") as caught:
            load(tmp_path / "saved", **options).predict(PAIRS)
        assert caught.value.weights == ("classifier.bias", "classifier.weight")

    library = pytest.importorskip("sentence_transformers")
    reference = library.CrossEncoder(str(tmp_path / "saved"), device="cpu")
    assert reference.predict(PAIRS).tolist() == pytest.approx(
        untrained.predict(PAIRS, allow_random_head=True).tolist(), abs=1e-6
    )
    with torch.no_grad():
        for weight in reference.model.classifier.parameters():
            weight.add_(0.01)
    reference.save_pretrained(str(tmp_path / "trained"))
    assert load(tmp_path / "trained").predict(PAIRS).tolist() == pytest.approx(reference.predict(PAIRS).tolist())


def test_what_was_trained_is_saved_without_a_word(untrained: CrossEncoder, tmp_path: Path) -> None:
    step(untrained)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        untrained.save_pretrained(tmp_path / "saved")
        scores = load(tmp_path / "saved").predict(PAIRS)

    assert scores.tolist() == pytest.approx(untrained.predict(PAIRS).tolist(), abs=1e-6)
    assert "pairchain_random_weights" not in json.loads((tmp_path / "saved" / "config.json").read_text())


@pytest.mark.parametrize("said", [7, [], {"classifier.weight": 3}, {"no.such": ["0"]}, {"classifier.weight": ["0"]}])
def test_a_damaged_note_of_random_weights_says_nothing(said: Any, tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1))

    assert load(edited(folder, "config.json", pairchain_random_weights=said)).predict(PAIRS).shape == (2,)


def test_sizes_that_were_let_through_are_random_too(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=3)

    model = load(path, num_labels=1, model_kwargs={"ignore_mismatched_sizes": True})

    with pytest.raises(RandomWeightsError, match=r"classifier\.bias, classifier\.weight"):
        model.predict(PAIRS)


def test_weights_that_nobody_reads_may_be_missing(tmp_path: Path) -> None:
    transformer = Transformer(save_tiny(tmp_path, "bert", "ForMaskedLM"), transformer_task="feature-extraction")
    chain = [transformer, Pooling(16, "cls"), Dense(16, 1, module_output_name="scores")]

    # a head that was made by hand is its maker's own business
    assert CrossEncoder(modules=chain, device="cpu").predict(PAIRS).shape == (2,)


def test_a_model_inside_a_router_is_refused_too(tmp_path: Path) -> None:
    inside = Transformer(save_tiny(tmp_path, "bert"), transformer_task="sequence-classification")
    model = CrossEncoder(modules=[Router({"only": [inside]}, default_route="only")], device="cpu")

    with pytest.raises(RandomWeightsError, match=r"classifier\.weight"):
        model.predict(PAIRS)


@pytest.mark.slow
@pytest.mark.parametrize("has_head", [True, False])
def test_an_adapter_may_bring_the_head(has_head: bool, tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "base", "bert")
    torch.manual_seed(0)
    task = peft.TaskType.SEQ_CLS if has_head else peft.TaskType.FEATURE_EXTRACTION
    config = peft.LoraConfig(task_type=task, r=2, target_modules=["query"], init_lora_weights=False)
    wrapped = peft.get_peft_model(AutoModelForSequenceClassification.from_pretrained(base, num_labels=1), config)
    wrapped.save_pretrained(tmp_path / "adapter")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(base) / name, tmp_path / "adapter")

    model = load(tmp_path / "adapter")

    if has_head:
        assert model.predict(PAIRS).shape == (2,)
    else:
        with pytest.raises(RandomWeightsError, match=r"classifier\.weight"):
            model.predict(PAIRS)


@pytest.mark.parametrize("command", ["score", "rank"])
def test_the_command_refuses_with_the_name_of_its_option(command: str, tmp_path: Path) -> None:
    arguments = [save_tiny(tmp_path, "bert"), *(["--pair", "x", "y"] if command == "score" else ["x", "-"])]
    stdin = "" if command == "score" else "y\nz\n"

    refused = run(command, *arguments, stdin=stdin)

    assert refused.code != 0
    assert "holds no weights for classifier.bias, classifier.weight" in refused.err
    assert "--allow-random-head" in refused.err
    assert len(run(command, *arguments, "--allow-random-head", stdin=stdin).out.splitlines()) == len(
        stdin.split() or "1"
    )
