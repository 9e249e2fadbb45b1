"""LogitScore: the log-odds of two tokens at the last position, exact in every dtype, from ids that exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import ChainError, FormatError, InputError, MissingFileError
from pairchain.modules import LogitScore


def logits(*rows: list[float], dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Return features whose last position has these logits; the one before has others."""
    last = torch.tensor(rows, dtype=dtype)
    return {"causal_logits": torch.stack([last + 100, last], dim=1)}


def test_the_score_is_the_log_odds_of_true_against_false() -> None:
    features = LogitScore(2, 0)(logits([1.0, 9.0, 4.0], [0.5, 9.0, -1.0]))

    assert features["scores"].tolist() == [[3.0], [-1.5]]


def test_without_a_false_token_the_score_is_the_logit_of_the_true_one() -> None:
    features = LogitScore(2)(logits([1.0, 9.0, 4.0], [0.5, 9.0, -1.0]))

    assert features["scores"].tolist() == [[4.0], [-1.0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_close_logits_in_half_precision_are_told_apart(dtype: torch.dtype) -> None:
    step = torch.finfo(dtype).eps
    # 3 - (-1 - eps) takes a bit more than the dtype has
    features = logits([3.0, -1.0 - step], [3.0, -1.0], dtype=dtype)

    scores = LogitScore(0, 1)(features)["scores"]

    assert scores.dtype == torch.float32
    assert scores.flatten().tolist() == [4.0 + step, 4.0]


def test_wider_dtypes_are_kept() -> None:
    assert LogitScore(0, 1)(logits([1.0, 2.0], dtype=torch.float64))["scores"].dtype == torch.float64


def test_it_reads_the_feature_it_is_told_to() -> None:
    features = {"other": logits([1.0, 4.0])["causal_logits"]}

    assert LogitScore(1, 0, module_input_name="other")(features)["scores"].tolist() == [[3.0]]


@pytest.mark.parametrize("ids", [(3, 0), (0, 3), (7,)])
def test_an_id_beyond_the_vocabulary_is_refused(ids: tuple[int, ...]) -> None:
    with pytest.raises(ChainError) as caught:
        LogitScore(*ids)(logits([1.0, 2.0, 3.0]))

    assert f"reads the token {max(ids)}, but 'causal_logits' has 3 tokens" in str(caught.value)
    assert "from the tokenizer of the model in this chain" in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        ((None,), "true_token_id is None"),
        (("yes",), "true_token_id is 'yes'"),
        ((True,), "true_token_id is True"),
        ((-1,), "true_token_id is -1"),
        ((1.0,), "true_token_id is 1.0"),
        ((1, "no"), "false_token_id is 'no'"),
        ((1, -2), "false_token_id is -2"),
    ],
)
def test_what_is_no_token_id_is_refused(ids: tuple[Any, ...], named: str) -> None:
    with pytest.raises(InputError) as caught:
        LogitScore(*ids)

    assert named in str(caught.value)
    assert "an integer from 0" in str(caught.value)


# sentence-transformers 6.2.0 saves the id of the unknown token for both words where a vocabulary has neither.
def test_one_token_against_itself_is_refused_and_not_scored_zero(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are both 7, so every score would be zero") as caught:
        LogitScore(7, 7)

    assert "choose two tokens" in caught.value.next_step
    (tmp_path / "config.json").write_text('{"true_token_id": 7, "false_token_id": 7}')
    with pytest.raises(
        FormatError, match=rf"from {tmp_path}/config\.json: true_token_id and false_token_id are both 7"
    ):
        LogitScore.load(str(tmp_path))


def test_a_key_that_nobody_knows_is_warned_about_and_kept(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"true_token_id": 7, "colour": "blue"}')

    with pytest.warns(PairchainWarning, match=r"config\.json has the key 'colour', which is not known"):
        module = LogitScore.load(str(tmp_path))

    module.save(str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["colour"] == "blue"


@pytest.mark.parametrize("ids", [(5, 3), (5,)])
def test_what_is_saved_loads_to_the_same(ids: tuple[int, ...], tmp_path: Path) -> None:
    LogitScore(*ids, module_input_name="other").save(str(tmp_path))

    config = json.loads((tmp_path / "config.json").read_text())

    assert config == {
        "true_token_id": 5,
        "false_token_id": ids[1] if len(ids) == 2 else None,
        "module_input_name": "other",
    }
    assert LogitScore.load(str(tmp_path)).get_config_dict() == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_configuration_that_is_missing_or_wrong_is_told_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"LogitScore needs true_token_id.*config\.json is missing"):
        LogitScore.load(str(tmp_path))

    (tmp_path / "config.json").write_text('{"true_token_id": null}')
    with pytest.raises(FormatError, match=rf"cannot be built from {tmp_path}/config\.json: true_token_id is None"):
        LogitScore.load(str(tmp_path))


def test_only_the_last_position_of_the_head_is_computed(golden: Path) -> None:
    model = CrossEncoder(golden / "gpt2_causal_no_padside" / "model", device="cpu")
    pairs = [("how many people live in berlin ?", "berlin"), ("a", "b")]

    features = model[0](model.preprocess(pairs))

    assert features["causal_logits"].shape[1] == 1
    every = model[0](model.preprocess(pairs, processing_kwargs={"text": {"logits_to_keep": 0}}))
    assert every["causal_logits"].shape[1] == features["input_ids"].shape[1]
    torch.testing.assert_close(model[1](every)["scores"], model[1](features)["scores"])


def test_other_words_than_yes_and_no_can_be_chosen(golden: Path) -> None:
    transformer = CrossEncoder(golden / "gpt2_causal_no_padside" / "model", device="cpu")[0]
    ids = {word: transformer.tokenizer.convert_tokens_to_ids(word) for word in ("1", "0")}

    model = CrossEncoder(modules=[transformer, LogitScore(ids["1"], ids["0"])], device="cpu")
    swapped = CrossEncoder(modules=[transformer, LogitScore(ids["0"], ids["1"])], device="cpu")

    pairs = [("how many people live in berlin ?", "berlin"), ("a", "b")]
    options = {"activation_fn": torch.nn.Identity(), "convert_to_tensor": True}
    assert model.num_labels == 1
    torch.testing.assert_close(model.predict(pairs, **options), -swapped.predict(pairs, **options))
