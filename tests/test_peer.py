"""Side by side with sentence-transformers: each loads what the other saved, and both score pairs alike."""

from __future__ import annotations

import json
import random
import warnings
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pairchain
from pairchain import PairchainWarning
from pairchain.modules import Pooling

pytestmark = pytest.mark.peer

GOLDEN = Path(__file__).parent / "golden"
# These read no pair: the one encodes both sides apart, the other has a template that drops them.
WITHOUT_PAIRS = ["clip_router_modality", "qwen3_template_drops_roles"]
# Those that bring code of their own are compared with the other golden models of that kind.
ALL = sorted(p.parent.name for p in GOLDEN.glob("*/golden.json") if not p.parent.name.startswith("custom_"))
CASES = [case for case in ALL if case not in WITHOUT_PAIRS]
WORDS = "berlin museum mars yes no how many people the population of a red planet ? . 3520031 naïve 北京 🙂".split()
# Three labels in a Router are one label to the reference: it has a test of its own, below.
ALIKE = [case for case in CASES if case != "router_3labels"]
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@cache
def recorded(case: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((GOLDEN / case / "golden.json").read_text())
    return golden


def ours(path: Path, **options: Any) -> pairchain.CrossEncoder:
    # that an activation is not imported is tested with the golden calls
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*names the activation 'my_pkg.Act'", PairchainWarning)
        return pairchain.CrossEncoder(path, device="cpu", **options)


def theirs(path: Path, **options: Any) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(path), device="cpu", **options)


def first_answer(case: str) -> dict[str, Any]:
    """Return the first recorded call that the reference answers."""
    return next(call for call in recorded(case)["calls"] if "expected" in call)


def golden_options(case: str) -> dict[str, Any]:
    options = dict(recorded(case)["load"]["kwargs"])
    if "activation_fn" in options:
        options["activation_fn"] = nn.Identity()
    return options


def media_calls(case: str) -> list[list[Any]]:
    """Return the recorded inputs of a case that hold images or sound, opened."""

    def opened(value: Any) -> Any:
        if isinstance(value, list):
            return [opened(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "__image__" in value:
            return Image.open(GOLDEN / case / value["__image__"]).convert("RGB")
        if "__array__" in value:
            return np.load(GOLDEN / case / value["__array__"])
        return {key: opened(item) for key, item in value.items()}

    found = [call["inputs"] for call in recorded(case)["calls"] if "inputs" in call and "raises" not in call]
    return [opened(inputs) for inputs in found if "__image__" in str(inputs) or "__array__" in str(inputs)]


def pairs(seed: int, count: int = 24) -> list[tuple[str, str]]:
    """Return pairs of random lengths, some far longer than the models take, some empty on one side."""
    draw = random.Random(seed)
    return [
        (" ".join(draw.choices(WORDS, k=draw.randint(0, 12))), " ".join(draw.choices(WORDS, k=draw.randint(1, 90))))
        for _ in range(count)
    ]


def assert_same_scores(case: str, one: Any, other: Any) -> None:
    assert np.shape(one) == np.shape(other)
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=recorded(case)["tolerance"], rtol=1e-4)


def files(folder: Path) -> dict[str, Any]:
    """Return every JSON file below ``folder`` but the tokenizer's, which their library writes, by its path."""
    found = {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*.json")}
    return {name: content for name, content in found.items() if not name.startswith("tokenizer")}


def test_the_peer_is_the_version_whose_calls_were_recorded() -> None:
    assert version("sentence-transformers") == recorded(CASES[0])["st_version"] == "6.2.0"


@pytest.mark.slow
@pytest.mark.parametrize("case", ALIKE)
def test_what_pairchain_saves_loads_in_both_with_equal_scores(case: str, tmp_path: Path) -> None:
    model = ours(GOLDEN / case / "model", **golden_options(case), **recorded(case).get("ours", {}).get("load", {}))
    call = first_answer(case)
    model.save_pretrained(tmp_path)

    again, peer = ours(tmp_path), theirs(tmp_path)

    for other in (again, peer):
        assert_same_scores(case, other.predict(call["inputs"], **call["kwargs"]), call["expected"])
        assert repr(other).partition("(")[2] == repr(model).partition("(")[2]
        assert (other.num_labels, other.max_seq_length) == (model.num_labels, model.max_seq_length)
        assert (other.prompts, other.default_prompt_name) == (model.prompts, model.default_prompt_name)
        assert type(other.activation_fn) is type(model.activation_fn)
    entries = json.loads((tmp_path / "modules.json").read_text())
    assert [entry["type"] for entry in entries] == recorded(case)["loaded"]["chain"]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "count"), [("vlm_llava", 7), ("audio_qwen2_audio", 1), ("router_with_vlm", 3)])
def test_images_and_sound_score_alike_in_both_after_a_save(case: str, count: int, tmp_path: Path) -> None:
    model = ours(GOLDEN / case / "model")
    model.save_pretrained(tmp_path)

    again, peer = ours(tmp_path), theirs(tmp_path)

    calls = media_calls(case)
    assert len(calls) == count
    for inputs in calls:
        expected = model.predict(inputs)
        assert_same_scores(case, again.predict(inputs), expected)
        # a mixed batch takes one route there
        assert_same_scores(case, peer.predict(inputs, batch_size=1), expected)


@pytest.mark.parametrize("case", WITHOUT_PAIRS)
def test_a_model_that_reads_no_pairs_is_saved_as_the_reference_saves_it(case: str, tmp_path: Path) -> None:
    model = ours(GOLDEN / case / "model")
    model.save_pretrained(tmp_path)

    again, peer = ours(tmp_path), theirs(tmp_path)

    assert repr(peer) == repr(again) == repr(model) == recorded(case)["loaded"]["text"]
    assert peer[0].modality_config == model[0].modality_config
    conversation = [[{"role": "user", "content": "a message works"}]]
    if case == "qwen3_template_drops_roles":
        assert_same_scores(case, again.predict(conversation), peer.predict(conversation))
    for which in (again, peer):
        with pytest.raises(ValueError, match=r"pair|must be a string"):
            which.predict(pairs(0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*lost their whole document:pairchain.PairchainWarning")
@pytest.mark.parametrize("case", ALIKE)
def test_both_score_pairs_that_nobody_recorded_alike(case: str) -> None:
    options = golden_options(case)
    model = ours(GOLDEN / case / "model", **options, **recorded(case).get("ours", {}).get("load", {}))
    peer = theirs(GOLDEN / case / "model", **options)
    # a Router without a default needs to be told the task
    told = {key: value for key, value in first_answer(case)["kwargs"].items() if key == "task"}

    for seed, keywords in enumerate(
        [{}, {"batch_size": 1}, {"prompt": "judge : ", "batch_size": 5}, {"apply_softmax": True}]
    ):
        inputs = pairs(seed)
        keywords.update(told)
        assert_same_scores(case, model.predict(inputs, **keywords), peer.predict(inputs, **keywords))
    query, documents = "how many people ?", [document for _, document in pairs(9, 12)]
    # rank takes no task there
    if model.num_labels == 1 and not told:
        mine, other = (which.rank(query, documents, top_k=5, return_documents=True) for which in (model, peer))
        assert_same_scores(case, [hit["score"] for hit in mine], [hit["score"] for hit in other])
        assert [hit["text"] for hit in mine] == [documents[hit["corpus_id"]] for hit in mine]


def reference_chain(kind: str) -> Any:
    """Return a chain that sentence-transformers built, with every setting that its files hold."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.cross_encoder.modules import LogitScore, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm
    from sentence_transformers.sentence_transformer.modules import Pooling as TheirPooling

    torch.manual_seed(0)
    settings = {"prompts": {"query": "judge : ", "empty": ""}, "default_prompt_name": "query", "device": "cpu"}
    if kind == "causal":
        path, task = GOLDEN / "gpt2_causal_no_padside" / "model", "text-generation"
        modules = [
            Transformer(str(path), transformer_task=task, processing_kwargs={"text": {"max_length": 40}}),
            LogitScore(314),
        ]
    else:
        path, task = GOLDEN / "pooling_mean" / "model", "feature-extraction"
        modules = [
            Transformer(str(path), transformer_task=task, unpad_inputs=False),
            TheirPooling(32, ("max", "lasttoken"), include_prompt=False),
            LayerNorm(64),
            Normalize(),
            Dense(64, 8, activation_function=nn.GELU(), use_residual=True, module_output_name="hidden"),
            Dense(8, 2, bias=False, activation_function=None, module_input_name="hidden", module_output_name="scores"),
        ]
        settings["keep_in_fp32_modules"] = ["5.linear"]
    model = CrossEncoder(modules=modules, activation_fn=nn.Tanh(), **settings)
    model.module_kwargs = {"0": ["position_ids"]}
    return model


@pytest.mark.parametrize("kind", ["causal", "pooled"])
def test_what_the_reference_saves_goes_through_pairchain_unchanged(kind: str, tmp_path: Path) -> None:
    start = reference_chain(kind)
    start.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    model = ours(tmp_path / "theirs")
    model.save_pretrained(tmp_path / "ours")

    before, after = files(tmp_path / "theirs"), files(tmp_path / "ours")

    for entry in after["modules.json"]:
        assert entry.pop("distribution").startswith("pairchain-")
        assert entry.pop("version")
    before["config_sentence_transformers.json"].pop("__version__")
    written_by = after["config_sentence_transformers.json"].pop("__version__")
    assert written_by["pairchain"] == version("pairchain-core")
    assert after == before
    end = theirs(tmp_path / "ours")
    inputs = pairs(3)
    tolerance = {"atol": 2e-5, "rtol": 1e-4}
    np.testing.assert_allclose(model.predict(inputs), start.predict(inputs), **tolerance)
    np.testing.assert_allclose(end.predict(inputs), start.predict(inputs), **tolerance)
    assert end.get_model_kwargs() == start.get_model_kwargs() == ["position_ids"]


def test_what_is_ours_alone_is_ignored_by_the_reference_and_comes_back(tmp_path: Path) -> None:
    model = ours(GOLDEN / "pooling_mean" / "model")
    model.activation_fn = nn.LeakyReLU(0.5)
    model[2].activation_function = nn.LeakyReLU(0.25)
    model.save_pretrained(tmp_path)

    again, peer = ours(tmp_path), theirs(tmp_path)

    inputs = pairs(4)
    assert again.predict(inputs).tolist() == pytest.approx(model.predict(inputs).tolist(), rel=1e-5)
    # it reads the class and takes its default arguments
    assert peer.activation_fn.negative_slope == 0.01
    logits = [which.predict(inputs, activation_fn=nn.Identity()) for which in (again, peer)]
    assert [np.shape(values) for values in logits] == [(24,), (24,)]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_is_that_of_the_reference(left: bool, include_prompt: bool, dtype: torch.dtype) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling as TheirPooling

    generator = torch.Generator().manual_seed(0)
    lengths, prompt_length = [1, 2, 5, 9, 4], 2
    mask = torch.tensor([[0] * (9 - n) + [1] * n if left else [1] * n + [0] * (9 - n) for n in lengths])
    features = {
        "token_embeddings": torch.randn(5, 9, 4, generator=generator).to(dtype),
        "attention_mask": mask,
        "prompt_length": prompt_length,
    }
    # a row that the prompt covers is -inf or padding there, which ours is not
    rows = torch.tensor(lengths) > (0 if include_prompt else prompt_length)
    for modes in (*((mode,) for mode in MODES), MODES, tuple(reversed(MODES)), ("mean", "cls")):
        mine, other = (cls(4, modes, include_prompt)(dict(features)) for cls in (Pooling, TheirPooling))
        assert mine["sentence_embedding"].dtype == other["sentence_embedding"].dtype
        torch.testing.assert_close(mine["sentence_embedding"][rows], other["sentence_embedding"][rows])


def test_three_labels_in_a_router_are_the_numbers_of_the_reference_without_its_sigmoid(tmp_path: Path) -> None:
    folder = GOLDEN / "router_3labels" / "model"
    with pytest.warns(PairchainWarning, match="names the activation Sigmoid"):
        model = ours(folder)
    model.save_pretrained(tmp_path)
    inputs = pairs(5)

    logits = theirs(folder).predict(inputs, activation_fn=nn.Identity())

    assert np.shape(logits) == (24, 3)
    # saved by pairchain, the activation is no longer one that the reference guessed
    for which in (model, ours(tmp_path), theirs(tmp_path)):
        assert_same_scores("router_3labels", which.predict(inputs), logits)
