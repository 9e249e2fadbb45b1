"""Transformer, built directly: every task on real architectures, its options, its features, and subclasses of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from tiny_models import save_tiny

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import (
    ChainError,
    FormatError,
    InputError,
    RevisionNotFoundError,
    UnknownKeywordError,
    UnknownNameError,
)
from pairchain.modules import Dense, LogitScore, Pooling, Transformer

PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y yes no")]
HEADS = {
    "sequence-classification": "ForSequenceClassification",
    "text-generation": "ForCausalLM",
    "feature-extraction": "Model",
    "fill-mask": "ForMaskedLM",
}


def transformer(
    folder: Path, kind: str = "bert", task: str = "feature-extraction", head: str | None = None, **options: Any
) -> Transformer:
    """Return a Transformer of a tiny checkpoint, saved with the head that fits the task."""
    config = {"num_labels": 1} if task == "sequence-classification" else {}
    path = save_tiny(folder / kind, kind, HEADS[task] if head is None else head, **config)
    return Transformer(path, transformer_task=task, **options)


# Which architecture does what, with the head of its name, and the last axis of what it writes.
TASKS = [
    *(
        (kind, "sequence-classification", None, 1)
        for kind in ("bert", "roberta", "distilbert", "modernbert", "electra")
    ),
    *((kind, "sequence-classification", None, 1) for kind in ("gpt2", "qwen3", "llama")),
    *(
        (kind, "feature-extraction", None, 16)
        for kind in ("bert", "roberta", "distilbert", "modernbert", "gpt2", "llama")
    ),
    ("gpt2", "text-generation", "LMHeadModel", 400),
    ("qwen3", "text-generation", None, 400),
    ("llama", "text-generation", None, 400),
    ("bert", "fill-mask", None, 151),
    ("roberta", "fill-mask", None, 380),
    ("modernbert", "fill-mask", None, 158),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "task", "head", "size"), TASKS)
def test_each_task_writes_its_feature(kind: str, task: str, head: str | None, size: int, tmp_path: Path) -> None:
    module = transformer(tmp_path, kind, task, head)

    features = module.preprocess(PAIRS)
    positions = features["input_ids"].shape[1]
    with torch.no_grad():
        output = module(features)[module.module_output_name]

    name, shape = {
        "sequence-classification": ("scores", (2, size)),
        "text-generation": ("causal_logits", (2, 1, size)),
        "feature-extraction": ("token_embeddings", (2, positions, size)),
        "fill-mask": ("token_embeddings", (2, positions, size)),
    }[task]
    assert module.module_output_name == name
    assert output.shape == shape
    assert output.dtype == torch.float32
    assert module.get_embedding_dimension() == 16
    assert module.num_labels == (1 if task == "sequence-classification" else None)
    assert type(module.model).__name__ in repr(module)


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama", "modernbert"])
def test_a_pair_scores_the_same_alone_and_beside_a_longer_one(kind: str, tmp_path: Path) -> None:
    model = CrossEncoder(modules=[transformer(tmp_path, kind, "sequence-classification")], device="cpu")

    together = model.predict(PAIRS)

    assert together == pytest.approx([model.predict(pair) for pair in PAIRS], abs=1e-6)


def test_a_task_that_there_is_not_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert")

    with pytest.raises(
        InputError, match=r"no transformer_task 'feature-extracton' \(did you mean 'feature-extraction'"
    ):
        Transformer(path, transformer_task="feature-extracton")
    with pytest.raises(FormatError, match=r"cannot be loaded with AutoModelForMultimodalLM: .*BertConfig") as caught:
        Transformer(path, transformer_task="any-to-any")
    assert path in caught.value.where
    assert caught.value.next_step == "choose another transformer_task."
    with pytest.raises(ChainError, match=r"names no …ForRetrieval class .*\['BertModel'\]") as unfit:
        Transformer(path, transformer_task="retrieval")
    assert unfit.value.next_step == "choose another transformer_task."
    with pytest.raises(UnknownKeywordError, match=r"no argument 'transformer_taks' \(did you mean 'transformer_task'"):
        Transformer(path, transformer_taks="fill-mask")
    with pytest.raises(UnknownNameError, match=r"'tranformers' .did you mean 'transformers'") as unknown:
        Transformer(path, backend="tranformers")
    assert "torch, transformers" in unknown.value.next_step


def test_the_chain_of_the_document_is_built_by_hand(tmp_path: Path) -> None:
    generator = transformer(tmp_path, "qwen3", "text-generation")
    yes, no = (generator.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    by_logits = CrossEncoder(modules=[generator, LogitScore(true_token_id=yes, false_token_id=no)], device="cpu")

    extractor = transformer(
        tmp_path, "qwen3", "feature-extraction", "ForCausalLM", processor_kwargs={"padding_side": "left"}
    )
    # the head of this checkpoint is not tied to its embeddings, so its rows stand in for them
    rows = generator.model.get_output_embeddings().weight.data
    size = extractor.get_embedding_dimension()
    head = Dense(
        in_features=size,
        out_features=1,
        bias=False,
        activation_function=None,
        init_weight=(rows[yes] - rows[no]).unsqueeze(0),
        module_output_name="scores",
    )
    by_projection = CrossEncoder(modules=[extractor, Pooling(size, pooling_mode="lasttoken"), head], device="cpu")

    assert by_projection.predict(PAIRS) == pytest.approx(by_logits.predict(PAIRS), abs=1e-6)
    assert by_logits.num_labels == by_projection.num_labels == 1


def test_a_revision_is_followed_for_every_file(hub: HubServer, tmp_path: Path) -> None:
    folders = [Path(save_tiny(tmp_path / str(size), "bert", hidden_size=size)) for size in (16, 32)]
    hub.add_repo("tests/transformer-revision")
    first = hub.commit("tests/transformer-revision", folders[0], revision="refs/pr/11")
    hub.commit("tests/transformer-revision", folders[1])

    module = Transformer("tests/transformer-revision", transformer_task="feature-extraction", revision="refs/pr/11")

    assert module.get_embedding_dimension() == 16
    files = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert files
    assert all(f"/resolve/{first}/" in path for path in files)
    assert Transformer("tests/transformer-revision").get_embedding_dimension() == 32
    with pytest.raises(RevisionNotFoundError, match="no revision 'refs/pr/12'"):
        Transformer("tests/transformer-revision", revision="refs/pr/12")


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_weights_are_loaded_in_the_dtype_asked_for(key: str, dtype: Any, tmp_path: Path) -> None:
    module = transformer(tmp_path, model_kwargs={key: dtype})

    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}


def test_weights_keep_the_dtype_they_were_saved_in(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert", "ForSequenceClassification", dtype=torch.bfloat16, num_labels=1)

    model = CrossEncoder(path, device="cpu")

    assert model.dtype == torch.bfloat16
    assert model.predict(PAIRS).dtype == "float32"


def test_the_attention_implementation_can_be_chosen(tmp_path: Path) -> None:
    eager = transformer(tmp_path, "qwen3", model_kwargs={"attn_implementation": "eager"})
    sdpa = transformer(tmp_path, "qwen3", model_kwargs={"attn_implementation": "sdpa"})

    assert (eager.config._attn_implementation, sdpa.config._attn_implementation) == ("eager", "sdpa")
    outputs = [module(module.preprocess(PAIRS))["token_embeddings"] for module in (eager, sdpa)]
    mask = eager.preprocess(PAIRS)["attention_mask"].bool()
    torch.testing.assert_close(outputs[0][mask], outputs[1][mask])


def test_config_kwargs_reach_the_configuration_and_a_mistyped_one_is_told(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1)

    module = Transformer(
        path, transformer_task="sequence-classification", config_kwargs={"classifier_dropout": 0.5, "num_labels": 1}
    )
    assert module.model.dropout.p == 0.5
    with pytest.warns(PairchainWarning, match=r"config_kwargs sets 'num_label', .*did you mean 'num_labels'"):
        Transformer(path, config_kwargs={"num_label": 3})


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert", "gpt2", "llama"])
def test_a_model_gets_what_it_takes_and_nothing_meant_for_other_modules(kind: str, tmp_path: Path) -> None:
    module = transformer(tmp_path, kind)
    got: dict[str, Any] = {}
    module.model.register_forward_pre_hook(lambda _, args, kwargs: got.update(kwargs), with_kwargs=True)

    module({**module.preprocess(PAIRS, prompt="judge : "), "task": "query"})

    assert {"input_ids", "attention_mask"} <= set(got)
    assert set(got) <= {"input_ids", "attention_mask", "token_type_ids", "return_dict"}


def test_no_cache_is_filled_unless_asked_for(tmp_path: Path) -> None:
    module = transformer(tmp_path, "llama", "text-generation")

    assert module.config.use_cache is False
    assert module.model(**module.tokenizer("a", return_tensors="pt")).past_key_values is None
    asked = transformer(tmp_path, "llama", "text-generation", config_kwargs={"use_cache": True})
    assert asked.config.use_cache is True


def test_older_names_of_arguments_are_taken_with_a_warning(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert")

    with pytest.warns(FutureWarning) as caught:
        module = Transformer(
            path, model_args={"dtype": "bfloat16"}, tokenizer_args={"model_max_length": 9}, config_args={}
        )

    assert (module.model.dtype, module.max_seq_length) == (torch.bfloat16, 9)
    said = [str(warning.message) for warning in caught]
    assert said == [
        "model_args is called model_kwargs today.",
        "tokenizer_args is called processor_kwargs today.",
        "config_args is called config_kwargs today.",
    ]


def test_a_modality_config_that_says_too_little_is_refused(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert")

    for entry in ({"method": "forward"}, {"method_output_name": "logits"}, "forward"):
        with pytest.raises(ChainError, match=r"modality_config for 'text' .* needs method and method_output_name"):
            Transformer(path, modality_config={"text": entry}, module_output_name="scores")
    complete = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    with pytest.raises(InputError, match="without module_output_name"):
        Transformer(path, modality_config=complete)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"method": "get_sound_features", "method_output_name": "x"}, "BertModel has no method 'get_sound_features'"),
        ({"method": "forward", "method_output_name": "logits"}, "BaseModelOutput.* has no 'logits'"),
        ({"method": "forward", "method_output_name": "hidden_states"}, "hidden_states is a tuple of 2 tensors"),
    ],
)
def test_a_method_or_field_that_the_model_lacks_is_told(entry: dict[str, str], said: str, tmp_path: Path) -> None:
    module = transformer(tmp_path, modality_config={"text": entry}, module_output_name="token_embeddings")

    with pytest.raises(ChainError, match=said):
        module(module.preprocess(PAIRS))


def test_any_part_of_the_output_can_be_read(tmp_path: Path) -> None:
    entry = {"method": "forward", "method_output_name": ["hidden_states", 0]}

    module = transformer(tmp_path, modality_config={"text": entry}, module_output_name="first_layer")

    features = module(module.preprocess(PAIRS))
    torch.testing.assert_close(
        features["first_layer"], module.model.embeddings(features["input_ids"], features["token_type_ids"])
    )


def test_every_layer_is_kept_when_the_configuration_says_so(tmp_path: Path) -> None:
    module = transformer(tmp_path, config_kwargs={"output_hidden_states": True})

    features = module(module.preprocess(PAIRS))

    assert len(features["all_layer_embeddings"]) == 2
    assert torch.equal(features["all_layer_embeddings"][-1], features["token_embeddings"])


class CustomTransformer(Transformer):
    """As in the document: a forward of its own that takes a keyword of predict."""

    def forward(self, features: dict[str, Any], task: str | None = None, **kwargs: Any) -> dict[str, Any]:
        features = super().forward(features)
        if task == "opposite":
            features["scores"] = -features["scores"]
        return features


@pytest.mark.parametrize("labels", [1, 3])
def test_a_subclass_with_a_forward_of_its_own_scores_like_any_other(labels: int, tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=labels)
    module = CustomTransformer(path, transformer_task="sequence-classification")

    model = CrossEncoder(modules=[module], device="cpu")
    model.module_kwargs = {"0": ["task"]}

    options = {"activation_fn": torch.nn.Identity()}
    assert model.num_labels == labels
    assert (-model.predict(PAIRS, task="opposite", **options)).tolist() == model.predict(PAIRS, **options).tolist()
    assert repr(module).startswith("CustomTransformer({'transformer_task': 'sequence-classification'")
    if labels == 1:
        assert len(model.rank("a", ["b", "c"], task="opposite")) == 2
