"""Pooling: every mode against a slow row-by-row reading of its definition, and every form it was saved in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairchain import PairchainWarning
from pairchain.errors import FormatError, InputError, MissingFileError
from pairchain.modules import Pooling

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
SIZE = 3


def batch(
    lengths: list[int], *, left: bool = False, dtype: torch.dtype = torch.float32, seed: int = 0, padding: float = 0.0
) -> dict[str, Any]:
    """Return the features of rows of these lengths, padded to the longest with ``padding``."""
    width = max(lengths)
    embeddings = torch.randn(len(lengths), width, SIZE, generator=torch.Generator().manual_seed(seed)).to(dtype)
    mask = torch.tensor([[0] * (width - n) + [1] * n if left else [1] * n + [0] * (width - n) for n in lengths])
    return {"token_embeddings": embeddings.masked_fill(mask.unsqueeze(-1) == 0, padding), "attention_mask": mask}


def pooled(features: dict[str, Any], mode: Any, **options: Any) -> torch.Tensor:
    embedding: torch.Tensor = Pooling(SIZE, mode, **options)(dict(features))["sentence_embedding"]
    return embedding


def slowly(features: dict[str, Any], modes: list[str], prompt_length: int) -> list[list[float]]:
    """Return what the definitions say, one row and one number at a time."""
    rows = []
    for tokens, mask in zip(features["token_embeddings"].tolist(), features["attention_mask"].tolist(), strict=True):
        there = [token for token, present in zip(tokens, mask, strict=True) if present]
        counted = list(enumerate(there, start=1))[prompt_length:]
        rows.append([value for mode in modes for value in one_row(mode, there, counted)])
    return rows


def one_row(mode: str, there: list[list[float]], counted: list[tuple[int, list[float]]]) -> list[float]:
    if not counted:
        return there[0] if mode == "cls" else [0.0] * SIZE
    columns = list(zip(*(token for _, token in counted), strict=True))
    places = [place for place, _ in counted]
    if mode == "cls":
        return counted[0][1]
    if mode == "lasttoken":
        return counted[-1][1]
    if mode == "max":
        return [max(column) for column in columns]
    if mode == "weightedmean":
        return [sum(w * x for w, x in zip(places, column, strict=True)) / sum(places) for column in columns]
    divisor = len(counted) if mode == "mean" else math.sqrt(len(counted))
    return [sum(column) / divisor for column in columns]


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    modes=st.lists(st.sampled_from(MODES), min_size=1, max_size=7),
    left=st.booleans(),
    prompt_length=st.integers(0, 7),
    include_prompt=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_every_mode_does_what_it_says(
    lengths: list[int],
    modes: list[str],
    left: bool,
    prompt_length: int,
    include_prompt: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    features = batch(lengths, left=left, dtype=dtype, seed=seed, padding=float("nan"))
    features["prompt_length"] = prompt_length

    embedding = pooled(features, modes, include_prompt=include_prompt)

    wanted = torch.tensor(slowly(features, modes, 0 if include_prompt else prompt_length)).to(dtype)
    assert embedding.dtype == dtype
    torch.testing.assert_close(embedding, wanted)


@pytest.mark.parametrize("mode", MODES)
def test_padding_on_either_side_pools_to_the_same(mode: str) -> None:
    right, left = (batch([2, 5], left=side) for side in (False, True))
    left["token_embeddings"][0, 3:] = right["token_embeddings"][0, :2]
    left["token_embeddings"][1] = right["token_embeddings"][1]

    assert torch.equal(pooled(right, mode), pooled(left, mode))


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_that_covers_every_token_leaves_numbers(mode: str) -> None:
    features = {**batch([2, 4], left=True, padding=float("nan")), "prompt_length": 3}

    embedding = pooled(features, mode, include_prompt=False)

    assert embedding.isfinite().all()
    if mode != "cls":
        assert embedding[0].tolist() == [0.0] * SIZE


@pytest.mark.parametrize("mode", MODES)
def test_a_row_without_any_token_is_zero(mode: str) -> None:
    features = batch([3, 3])
    features["attention_mask"][1] = 0
    features["token_embeddings"][1] = float("nan")

    assert pooled(features, mode)[1].tolist() == [0.0] * SIZE


@pytest.mark.parametrize("lengths", [torch.tensor([1, 3]), torch.tensor([2])])
def test_an_input_module_may_give_each_pair_a_prompt_length(lengths: torch.Tensor) -> None:
    features = batch([4, 4])
    each = lengths.expand(2).tolist()

    embedding = pooled({**features, "prompt_length": lengths}, "cls", include_prompt=False)

    assert torch.equal(embedding, torch.stack([features["token_embeddings"][row, each[row]] for row in (0, 1)]))


@pytest.mark.parametrize("mask", [None, torch.zeros(2, 9, dtype=torch.int64)])
def test_embeddings_without_a_mask_of_their_own_all_count(mask: torch.Tensor | None) -> None:
    features = batch([3, 3])
    wanted = features["token_embeddings"].mean(dim=1)
    features["attention_mask"] = mask
    if mask is None:
        del features["attention_mask"]

    torch.testing.assert_close(pooled(features, "mean"), wanted)


@pytest.mark.parametrize("kind", [torch.bool, torch.float32, torch.int32])
def test_a_mask_may_be_of_any_number_type(kind: torch.dtype) -> None:
    features = {**batch([2, 4], left=True), "prompt_length": 1}
    wanted = pooled(features, MODES, include_prompt=False)
    features["attention_mask"] = features["attention_mask"].to(kind)

    assert torch.equal(pooled(features, MODES, include_prompt=False), wanted)


def test_an_input_module_may_give_the_embedding_for_cls_and_the_sum_of_weights() -> None:
    features = batch([2, 4])
    features["cls_token_embeddings"] = torch.full((2, SIZE), 7.0)
    features["token_weights_sum"] = torch.tensor([4.0, 16.0])
    total = features["token_embeddings"].sum(dim=1)

    assert torch.equal(pooled(features, "cls"), features["cls_token_embeddings"])
    torch.testing.assert_close(pooled(features, "mean"), total / torch.tensor([[4.0], [16.0]]))
    torch.testing.assert_close(pooled(features, "mean_sqrt_len_tokens"), total / torch.tensor([[2.0], [4.0]]))


def test_features_and_mask_are_left_as_they_were() -> None:
    features = {**batch([2, 4]), "prompt_length": 1}
    before = {key: value.clone() for key, value in features.items() if isinstance(value, torch.Tensor)}

    pooled(features, MODES, include_prompt=False)

    assert all(torch.equal(features[key], value) for key, value in before.items())


# Old configuration, in the order of the file, to today's mode.
LEGACY: list[tuple[dict[str, Any], Any]] = [
    ({}, "mean"),
    ({"pooling_mode_mean_tokens": True}, "mean"),
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
    ({"pooling_mode_mean_tokens": False}, "mean"),
    ({"pooling_mode_max_tokens": True}, "max"),
    ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
    ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
    ({"pooling_mode_lasttoken": True}, "lasttoken"),
    ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, None),
    ({"pooling_mode": "max", "pooling_mode_mean_tokens": True}, "max"),
    ({"pooling_mode": ["lasttoken", "cls"]}, ("lasttoken", "cls")),
]


@pytest.mark.parametrize(("old", "mode"), LEGACY)
def test_configurations_of_every_version_load(old: dict[str, Any], mode: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"word_embedding_dimension": SIZE, **old}))

    pooling = Pooling.load(str(tmp_path))

    # several were concatenated in an order of their own, whatever the file's
    assert pooling.pooling_mode == (mode or ("cls", "mean", "lasttoken"))
    assert pooling.get_embedding_dimension() == SIZE * len(pooling.modes)
    assert pooling.include_prompt is True


@pytest.mark.parametrize("mode", ["max", ("mean", "cls"), ["weightedmean"]])
def test_what_is_saved_loads_to_the_same(mode: Any, tmp_path: Path) -> None:
    pooling = Pooling(SIZE, mode, include_prompt=False)
    pooling.save(str(tmp_path))

    again = Pooling.load(str(tmp_path))

    saved = json.loads((tmp_path / "config.json").read_text())
    assert list(saved) == ["embedding_dimension", "pooling_mode", "include_prompt"]
    assert saved["pooling_mode"] == (list(mode) if isinstance(mode, tuple) else "".join(mode))
    assert repr(again) == repr(pooling)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [("men", "'men' (did you mean 'mean'?)"), (["mean", "x"], "no pooling mode 'x'"), ([], "pooling_mode is empty")],
)
def test_a_mode_that_there_is_not_is_refused(mode: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Pooling(SIZE, mode)

    assert said in str(caught.value)
    assert "choose among cls, max, mean" in str(caught.value)


def test_a_configuration_that_is_missing_or_wrong_is_told_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"Pooling needs embedding_dimension.*config\.json"):
        Pooling.load(str(tmp_path))

    (tmp_path / "config.json").write_text(json.dumps({"embedding_dimension": SIZE, "pooling_mode": "men"}))
    with pytest.raises(FormatError, match=rf"cannot be built from {tmp_path}/config\.json.*'men'"):
        Pooling.load(str(tmp_path))

    (tmp_path / "config.json").write_text(json.dumps({"embedding_dimension": SIZE, "pooling_mod": "max"}))
    with pytest.warns(PairchainWarning, match=r"'pooling_mod'.*did you mean 'pooling_mode'"):
        assert Pooling.load(str(tmp_path)).get_config_dict()["pooling_mod"] == "max"
