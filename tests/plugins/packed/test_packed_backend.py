"""The backend packed: which checkpoints it takes, their weights, and the batches that it passes on."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from packed_checks import check_shared_beginnings
from packed_models import CLASSES, Both, batch, both, checkpoint_in, config_for, saved
from safetensors.torch import load_file, save_file

from pairchain.authoring import onednn
from pairchain.errors import InputError
from pairchain_packed import build
from pairchain_packed.backend import PackedBackend
from pairchain_packed.blocks.linear import Linear

CLASSIFICATION, FEATURES, GENERATION = "sequence-classification", "feature-extraction", "text-generation"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder with a tiny BERT classifier."""
    saved(tmp_path, config_for("bert"), CLASSIFICATION)
    return tmp_path


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    """A folder with a tiny Qwen 3 language model with tied embeddings."""
    saved(tmp_path, config_for("qwen3", tie_word_embeddings=True), GENERATION)
    return tmp_path


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Change the weights in a folder."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def set_entries(folder: Path, **entries: Any) -> None:
    """Change ``config.json`` in a folder."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def reason(folder: Path, task: str = CLASSIFICATION, **model_kwargs: Any) -> str:
    """Why the checkpoint in a folder is not taken."""
    return PackedBackend().supports(checkpoint_in(folder, task, **model_kwargs)).reason


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ({"model_type": "t5"}, "'t5'"),
        ({"model_type": None}, "None"),
        ({"something_new": 3}, "something_new"),
        ({"hidden_act": "mish"}, "hidden_act"),
        ({"hidden_size": "many"}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_hidden_layers": 2}, "of a layer that config.json does not count"),
        ({"num_hidden_layers": 4}, "lack bert.encoder.layer.3"),
        ({"num_attention_heads": 5}, "heads"),
        ({"id2label": {"0": "a"}}, "shape"),
        ({"num_labels": 7}, "num_labels"),
        ({"is_decoder": True}, "is_decoder"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        ({"dtype": "float64"}, "float64"),
        ({"layer_norm_eps": None}, "layer_norm_eps"),
        ({"architectures": ["BertModel"]}, "shape"),
    ],
)
def test_what_no_table_knows_is_not_taken(bert: Path, entries: dict[str, Any], part: str) -> None:
    set_entries(bert, **entries)
    assert part in reason(bert)
    with pytest.raises(InputError, match="cannot load this model"):
        PackedBackend().load(checkpoint_in(bert, CLASSIFICATION))


def test_other_tasks_and_options_are_not_taken(bert: Path) -> None:
    assert not reason(bert)
    assert "'text-generation'" in reason(bert, GENERATION)
    for name, value in {"attn_implementation": "eager", "device_map": "auto", "strange": 1, "dtype": "float8"}.items():
        assert name in reason(bert, **{name: value})
    assert not reason(bert, dtype="auto", device_map=None)
    assert not reason(bert, torch_dtype=torch.bfloat16)


def test_files_that_are_not_complete_are_not_taken(bert: Path) -> None:
    (bert / "adapter_config.json").write_text("{}")
    assert "adapter" in reason(bert)
    (bert / "adapter_config.json").unlink()
    rewrite(bert, lambda weights: {name: value for name, value in weights.items() if "classifier" not in name})
    assert "classifier" in reason(bert)
    torch.save({}, bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    assert "no model.safetensors" in reason(bert)


@pytest.mark.parametrize("form", ["without prefix", "as TensorFlow named them", "twice", "with other heads"])
def test_weights_under_other_names_are_found(bert: Path, form: str) -> None:
    expected = both(bert, CLASSIFICATION).expected(features := batch([5, 9]))

    def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if form == "with other heads":
            return {
                **weights,
                "cls.predictions.bias": torch.ones(3),
                "bert.embeddings.position_ids": torch.ones(3).long(),
            }
        if form == "without prefix":
            return {name.removeprefix("bert."): value for name, value in weights.items()}
        old = {n.replace("LayerNorm.weight", "LayerNorm.gamma"): v for n, v in weights.items()}
        old = {n.replace("LayerNorm.bias", "LayerNorm.beta"): v for n, v in old.items()}
        return {**{n: v.clone() for n, v in weights.items()}, **old} if form == "twice" else old

    rewrite(bert, change)
    if form == "twice":
        assert "both" in reason(bert)
    else:
        torch.testing.assert_close(both(bert, CLASSIFICATION).found(features), expected, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_in_several_files_is_read(qwen: Path) -> None:
    model = CLASSES[GENERATION].from_pretrained(qwen)
    (qwen / "model.safetensors").unlink()
    model.save_pretrained(qwen, max_shard_size="20KB")
    assert len(list(qwen.glob("model-*.safetensors"))) > 1
    models = both(qwen, GENERATION)
    features = {**batch([7, 4]), "logits_to_keep": 1}
    short = batch([7, 7])
    torch.testing.assert_close(models.found(short), models.expected(short), atol=1e-5, rtol=1e-5)
    assert models.found(features).shape[1] == 1


@pytest.mark.parametrize(
    ("given", "written"), [({}, None), ({"dtype": "auto"}, "bfloat16"), ({"dtype": "float16"}, None)]
)
def test_dtypes_are_those_that_the_library_chooses(bert: Path, given: dict[str, Any], written: str | None) -> None:
    set_entries(bert, dtype=written)
    models = both(bert, CLASSIFICATION, **given)
    assert {value.dtype for value in models.ours.parameters()} == {models.theirs.dtype}
    features = batch([9, 3])
    torch.testing.assert_close(models.found(features).float(), models.expected(features).float(), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("task", [CLASSIFICATION, FEATURES])
def test_state_and_saved_files_have_the_names_of_the_library(task: str, tmp_path: Path) -> None:
    saved(tmp_path, config_for("roberta"), task)
    models = both(tmp_path, task)
    theirs = models.theirs.state_dict()
    assert theirs.keys() == models.ours.state_dict().keys()
    models.ours.load_state_dict({name: value + 1 for name, value in theirs.items()})
    assert all(torch.equal(value, theirs[name] + 1) for name, value in models.ours.state_dict().items())
    models.execution.save(models.ours.half(), str(tmp_path))
    again, info = CLASSES[task].from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert again.dtype is torch.float16
    assert again.config.architectures == [type(again).__name__]
    assert all(torch.equal(value, models.ours.state_dict()[name]) for name, value in again.state_dict().items())


def test_states_that_do_not_fit_are_reported_under_the_names_of_the_library(bert: Path) -> None:
    ours = both(bert, CLASSIFICATION).ours
    state = ours.state_dict()
    name = "bert.encoder.layer.1.attention.self.key.weight"
    query = state.pop(name.replace("key", "query"))
    with pytest.raises(RuntimeError, match=r"layer\.1\.attention\.self\.query\.weight"):
        ours.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"self\.key\.weight has the shape"):
        ours.load_state_dict({**state, name: query[:3], name.replace("key", "query"): query})
    assert ours.load_state_dict(state, strict=False).missing_keys == [name.replace("key", "query")]


def test_tied_embeddings_are_saved_once(qwen: Path) -> None:
    models = both(qwen, GENERATION)
    assert models.ours.state_dict()["lm_head.weight"].data_ptr() == models.ours.embedding.tokens.weight.data_ptr()
    models.execution.save(models.ours, str(qwen))
    check(models)
    assert not list(qwen.glob(".*"))
    assert "lm_head.weight" not in load_file(qwen / "model.safetensors")
    check(both(qwen, GENERATION))


def check(models: Both) -> None:
    """Compare both outputs for some inputs."""
    features = batch([7, 7, 3])
    mask = features["attention_mask"].bool()
    torch.testing.assert_close(models.found(features)[mask], models.expected(features)[mask], atol=1e-5, rtol=1e-5)


def test_copies_compute_the_same(qwen: Path) -> None:
    models = both(qwen, GENERATION)
    for ours, execution in (
        copy.deepcopy((models.ours, models.execution)),
        pickle.loads(pickle.dumps((models.ours, models.execution))),
    ):
        check(replace(models, ours=ours, execution=execution))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"attention_mask": torch.tensor([[1, 0, 1, 1]])}, "between others"),
        ({"attention_mask": torch.zeros(1, 4).long()}, "hides an input"),
        ({"attention_mask": torch.full((1, 4), 2)}, "other values"),
        ({"attention_mask": torch.tensor([[0, 1, 1, 1]])}, "on the left"),
        ({"attention_mask": None}, "attention_mask"),
        ({"position_ids": torch.ones(1, 4)}, "position_ids"),
        ({"input_ids": torch.ones(1, 99).long(), "attention_mask": torch.ones(1, 99).long()}, "48 tokens"),
    ],
)
def test_batches_that_differ_without_padding_are_passed_on(bert: Path, change: dict[str, Any], part: str) -> None:
    models = both(bert, CLASSIFICATION)
    with torch.inference_mode():
        features = {**batch([4]), **change}
        assert part in models.execution.declines(models.ours, features, models.request())


def test_other_computations_are_passed_on(bert: Path) -> None:
    models = both(bert, CLASSIFICATION)
    features, request = batch([4]), models.request()
    assert "gradients" in models.execution.declines(models.ours, features, request)
    with torch.inference_mode():
        assert not models.execution.declines(models.ours, features, request)
        for other in (
            replace(request, method="get_image_features"),
            replace(request, path=("hidden_states", 1)),
            replace(request, keywords={"output_attentions": True}),
        ):
            assert models.execution.declines(models.ours, features, other)
        assert models.execution.declines(torch.nn.Linear(1, 1), features, request)
        assert models.execution.declines(models.ours.train(), features, request)


def test_a_classifier_reads_the_last_token_that_is_not_padding(tmp_path: Path) -> None:
    saved(tmp_path, config_for("qwen3"), CLASSIFICATION)
    models = both(tmp_path, CLASSIFICATION)
    features = batch([6, 9, 4])
    features["input_ids"][0, 4:6] = 0
    torch.testing.assert_close(models.found(features), models.expected(features), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["qwen3", "gemma3_text"])
def test_beginnings_that_inputs_share_are_computed_once(kind: str, tmp_path: Path) -> None:
    check_shared_beginnings(kind, tmp_path)


@pytest.mark.parametrize("model_kwargs", [{}, {"int8": True}])
def test_threads_compute_what_one_computes(bert: Path, model_kwargs: dict[str, Any]) -> None:
    ours, execution = PackedBackend().load(checkpoint_in(bert, CLASSIFICATION, **model_kwargs))
    models = Both(bert, CLASSIFICATION, CLASSES[CLASSIFICATION].from_pretrained(bert), ours, execution)  # type: ignore[arg-type]
    batches = [batch([length, 40, 30]) for length in (3, 9, 20, 33) * 4]
    alone = [models.found(features) for features in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(models.found, batches))
    assert all(map(torch.equal, alone, together))


def _scale_data(model: Any) -> None:
    # as code does that PyTorch does not count
    model.layers[1].attention.inputs.weight.data.mul_(1.5)


def _replace_parameter(model: Any) -> None:
    part = model.layers[1].mlp.inner
    part.weight = torch.nn.Parameter(part.weight.detach() * 1.5)


def _load_other_weights(model: Any) -> None:
    model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()}, assign=True)


CHANGES = [_scale_data, _replace_parameter, _load_other_weights]


@pytest.mark.parametrize("change", CHANGES)
def test_integers_are_close_and_follow_the_weights(bert: Path, change: Callable[[Any], None]) -> None:
    models = both(bert, CLASSIFICATION)
    ours, execution = PackedBackend().load(checkpoint_in(bert, CLASSIFICATION, int8=True))
    quick = replace(models, ours=ours, execution=execution)
    features = batch([9, 30, 30])
    for _ in range(2):
        exact, found = models.found(features), quick.found(features)
        assert 0 < (exact - found).abs().max() < 0.1 * exact.abs().max()
        for other in (models, quick):
            change(other.ours)


def _forms(model: Any) -> set[str]:
    return {part.form for part in model.modules() if isinstance(part, Linear)}


# both ways are forced, whichever is faster here, and a PyTorch built without oneDNN has neither
@pytest.mark.skipif(not onednn.is_available(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("change", CHANGES)
def test_prepacked_weights_give_the_same_and_follow_the_weights(
    bert: Path, change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "is_faster", lambda: True)
    monkeypatch.setattr(onednn, "is_prepacked_faster", lambda: True)
    prepacked = both(bert, CLASSIFICATION)
    monkeypatch.setattr(build, "_MOST_PREPACKED", 0)
    plain = both(bert, CLASSIFICATION)
    # the head computes with its weights themselves
    assert _forms(prepacked.ours) == {"", "prepacked"}
    assert _forms(plain.ours) == {""}
    features = batch([9, 30, 30])
    for _ in range(2):
        assert torch.equal(prepacked.found(features), plain.found(features))
        for models in (prepacked, plain):
            change(models.ours)


@pytest.mark.slow
def test_choosing_imports_neither_torch_nor_the_library(bert: Path) -> None:
    code = f"""
import json, sys
from pairchain_packed.backend import PackedBackend
from pairchain.authoring import open_source
from pairchain.backends import Checkpoint
config = json.load(open({str(bert / "config.json")!r}))
assert PackedBackend().supports(Checkpoint(open_source({str(bert)!r}), "sequence-classification", config))
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
