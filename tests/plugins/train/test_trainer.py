"""PairTrainer: what an update is, what training leaves behind, what is saved, and resuming."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_tiny
from torch import nn
from training import GOLDEN, PAIRS, ROWS, arguments, chain

import pairchain
from pairchain import CrossEncoder, PairchainWarning, registry
from pairchain.errors import ChainError, FormatError, InputError, RandomWeightsError, UnknownNameError
from pairchain_train import PairTrainer, Rankings, freeze, merged, train_only
from pairchain_train.checkpoints import last_complete

pytestmark = pytest.mark.slow


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def largest_difference(one: nn.Module, other: nn.Module) -> float:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize("loss", ["mse", "ranknet", "lambdaloss"])
def test_a_trained_chain_ranks_what_it_saw_and_is_the_one_that_it_saves(loss: str, tmp_path: Path) -> None:
    model = chain()
    assert model[0].backend == "packed"
    trainer = PairTrainer(model, arguments(tmp_path), ROWS, Rankings.of(ROWS), loss=loss)
    before = trainer.evaluate()["eval_nDCG@10"]
    trainer.train()
    assert trainer.evaluate()["eval_nDCG@10"] > before
    trainer.save_model()
    found = model.predict(PAIRS)
    for backend in ("packed", "transformers"):
        again = CrossEncoder(tmp_path, device="cpu", backend=backend)
        assert again[0].backend == backend
        assert abs(again.predict(PAIRS) - found).max() < 1e-5
    assert not list(tmp_path.glob("checkpoint-*"))


def test_nothing_of_the_training_stays_in_the_chain(tmp_path: Path) -> None:
    model, untouched = chain(), chain()
    untouched.predict(PAIRS)
    trainer = PairTrainer(model, arguments(tmp_path, bf16=True), ROWS)
    trainer.train()
    assert {*vars(model)} == {*vars(untouched)}
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.config.use_cache == untouched.config.use_cache
    # in mixed precision the weights stay float32, and so do scores
    found = model.predict(PAIRS)
    assert found.dtype == "float32"
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert abs(other.predict(PAIRS) - found).max() < 1e-6
    trainer.save_model()
    assert abs(CrossEncoder(tmp_path, device="cpu").predict(PAIRS) - found).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bce", "mse", "listnet", "margin-mse"])
def test_a_budget_of_tokens_changes_the_parts_of_an_update_and_not_the_update(loss: str, tmp_path: Path) -> None:
    made = []
    for budget in (None, 40, 1):
        # dropout would differ between parts
        model = chain(config_kwargs={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
        rows = [row for row in ROWS if row["query"] != ROWS[0]["query"]]
        options = arguments(tmp_path, per_device_train_batch_size=16, num_train_epochs=1, optim="sgd")
        PairTrainer(model, options, rows, loss=loss, tokens_per_batch=budget).train()
        made.append(model)
    assert largest_difference(made[0], chain()) > 1e-4
    assert largest_difference(made[0], made[1]) < 1e-5
    assert largest_difference(made[0], made[2]) < 1e-5


class Counts(nn.Module):
    """A loss that counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(mask.sum(dim=1).tolist()))
        return logits.square().mean()


def test_an_update_has_a_fixed_number_of_pairs_and_lists_stay_whole(tmp_path: Path) -> None:
    rows = [{"query": f"q{n}", "documents": ["a b"] * (1 + n % 4), "labels": [1] * (1 + n % 4)} for n in range(8)]
    loss = Counts()
    trainer = PairTrainer(chain(), arguments(tmp_path, num_train_epochs=2), rows, loss=loss)
    trainer.train()
    # 20 pairs in updates of at most 8
    assert all(sum(update) <= 8 for update in loss.seen)
    steps = trainer.state.global_step
    assert len(loss.seen) == steps
    assert sum(map(sum, loss.seen)) == 40
    # each epoch has an order of its own
    assert loss.seen[: steps // 2] != loss.seen[steps // 2 :]


@pytest.mark.slow
def test_seeds_decide_everything(tmp_path: Path) -> None:
    made = []
    for seed in (3, 3, 4):
        model = chain()
        PairTrainer(model, arguments(tmp_path, num_train_epochs=1, seed=seed), ROWS).train()
        made.append(model)
    assert largest_difference(made[0], made[1]) == 0
    assert largest_difference(made[0], made[2]) > 0


@pytest.mark.slow
def test_gradients_of_several_batches_can_be_one_update(tmp_path: Path) -> None:
    made = []
    for size, several in ((16, 1), (8, 2)):
        model = chain(config_kwargs={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
        options = arguments(
            tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=several, max_steps=2, optim="sgd"
        )
        PairTrainer(model, options, ROWS[:32]).train()
        made.append(model)
    assert largest_difference(*made) < 1e-4


class Interrupted(Exception):
    """Ends a training in the middle."""


def interrupting(trainer: PairTrainer, step: int) -> PairTrainer:
    """Return ``trainer``, which breaks off in the update after ``step``."""
    own = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        if trainer.state.global_step >= step:
            raise Interrupted
        return own(*args, **kwargs)

    trainer.training_step = training_step  # type: ignore[method-assign]
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bce", "multiple-negatives"])
def test_a_resumed_training_ends_with_the_same_weights(loss: str, tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 16}
    more = {"loss": loss, "in_batch_negatives": 2, "tokens_per_batch": 200}
    whole, broken, resumed = chain(), chain(), chain()
    PairTrainer(whole, arguments(tmp_path / "whole", **options), ROWS, **more).train()
    with pytest.raises(Interrupted):
        interrupting(PairTrainer(broken, arguments(tmp_path / "parts", **options), ROWS, **more), 5).train()
    assert largest_difference(whole, broken) > 0
    # a checkpoint that was being written when the process ended
    (tmp_path / "parts/checkpoint-100").mkdir()
    assert last_complete(tmp_path / "parts") == str(tmp_path / "parts/checkpoint-4")
    trainer = PairTrainer(resumed, arguments(tmp_path / "parts", **options), ROWS, **more)
    trainer.train(resume_from_checkpoint=True)
    assert largest_difference(whole, resumed) == 0
    # a checkpoint is a model too
    assert CrossEncoder(tmp_path / "parts/checkpoint-4", device="cpu").predict(PAIRS).shape == (40,)


def test_resuming_without_a_checkpoint_begins(tmp_path: Path) -> None:
    trainer = PairTrainer(chain(), arguments(tmp_path, max_steps=1), ROWS)
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 1


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    PairTrainer(chain(), arguments(tmp_path, **options), ROWS).train()
    model = chain()
    freeze(model, "0.model.bert.embeddings")
    with pytest.raises(FormatError, match="embeddings"):
        PairTrainer(model, arguments(tmp_path, **options), ROWS).train(resume_from_checkpoint=True)
    with pytest.raises(FormatError, match="training_weights"):
        PairTrainer(chain(), arguments(tmp_path), ROWS).train(str(GOLDEN))


def test_the_best_checkpoint_comes_back(tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
    model = chain()
    # a rate that destroys what was learnt
    args = arguments(tmp_path, **options, load_best_model_at_end=True, learning_rate=0.3, max_steps=8)
    trainer = PairTrainer(model, args, ROWS, Rankings.of(ROWS), loss="ranknet")
    trainer.train()
    best = max(row["eval_nDCG@10"] for row in trainer.history.values())
    assert trainer.state.best_metric == best
    assert trainer.evaluate()["eval_nDCG@10"] == best


@pytest.mark.slow
@pytest.mark.parametrize("case", ["bert_seqcls_1label", "qwen3_causal_logitscore"])
def test_activations_may_be_computed_again_instead_of_kept(case: str, tmp_path: Path) -> None:
    made = []
    for option in ({}, {"gradient_checkpointing": True}):
        model = chain(case)
        trainer = PairTrainer(model, arguments(tmp_path, max_steps=2, optim="sgd", **option), ROWS)
        trainer.train()
        made.append(model)
        inside = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
        assert not inside
    assert largest_difference(*made) < 1e-6


def test_a_frozen_part_stays_as_it_is(tmp_path: Path) -> None:
    model = chain()
    before = weights(model)
    frozen = freeze(model, "0.model.bert.embeddings", "0.model.bert.encoder.layer.*.attention")
    PairTrainer(model, arguments(tmp_path, num_train_epochs=1), ROWS).train()
    after = weights(model)
    assert len(frozen) > 5
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["0.model.classifier.weight"], after["0.model.classifier.weight"])
    assert train_only(model, "0.model.classifier") == ["0.model.classifier.weight", "0.model.classifier.bias"]


def test_a_name_of_no_part_gets_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean '0\.model\.classifier'"):
        freeze(chain(), "0.model.clasifier")
    model = chain()
    freeze(model, "0")
    with pytest.raises(InputError, match="no parameter"):
        PairTrainer(model, None, ROWS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["pooling_mean", "qwen3_causal_logitscore", "router_by_task", "qwen3_feature_lasttoken_dense"]
)
def test_any_chain_is_trained_and_saved_whole(case: str, tmp_path: Path) -> None:
    model = chain(case)
    if case.startswith("qwen3_causal"):
        model.prefix_cache = 2**20
    # what is proven and kept of the model now must not be used of the trained one
    untrained = model.predict(PAIRS)
    before = weights(model)
    trainer = PairTrainer(model, arguments(tmp_path, max_steps=2), ROWS)
    trainer.train()
    trainer.save_model()
    after = weights(model)
    assert sum(not torch.equal(before[name], after[name]) for name in before) > len(before) / 3
    again = CrossEncoder(tmp_path, device="cpu")
    assert abs(model.predict(PAIRS) - untrained).max() > 1e-3
    assert abs(again.predict(PAIRS) - model.predict(PAIRS)).max() < 1e-5
    assert [type(module) for module in again] == [type(module) for module in model]


def test_several_scores_a_pair(tmp_path: Path) -> None:
    model = chain("bert_seqcls_3labels")
    rows = [{**row, "label": place % 3} for place, row in enumerate(ROWS)]
    trainer = PairTrainer(model, arguments(tmp_path), rows, rows, loss="cross-entropy")
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before
    with pytest.raises(ChainError, match="3 scores"):
        PairTrainer(model, arguments(tmp_path), ROWS, loss="ranknet").train()
    with pytest.raises(InputError, match=r"'bce' failed with logits of shape \(8, 3\)"):
        PairTrainer(model, arguments(tmp_path), ROWS, loss="bce").train()
    several = [{**row, "label": [1, 0, 0.5]} for row in ROWS]
    PairTrainer(model, arguments(tmp_path, max_steps=1), several, loss="bce").train()


def test_the_loss_on_other_examples_does_not_depend_on_batches(tmp_path: Path) -> None:
    model = chain()
    found = [
        PairTrainer(
            model, arguments(tmp_path, per_device_eval_batch_size=size), ROWS, ROWS, tokens_per_batch=budget
        ).evaluate()["eval_loss"]
        for size, budget in ((40, None), (7, None), (7, 30))
    ]
    raw = torch.as_tensor(model.predict(PAIRS, activation_fn=nn.Identity()))
    labels = torch.tensor([float(row["label"]) for row in ROWS])
    expected = nn.functional.binary_cross_entropy_with_logits(raw, labels)
    assert found == pytest.approx([float(expected)] * 3, abs=1e-5)


def test_the_card_tells_data_loss_and_metrics(tmp_path: Path) -> None:
    trainer = PairTrainer(
        chain(),
        arguments(tmp_path, max_steps=3),
        ROWS,
        Rankings.of(ROWS),
        loss="lambdaloss",
        loss_options={"mu": 5.0},
        data_name="made-up.jsonl",
    )
    trainer.evaluate()
    trainer.train()
    last = trainer.evaluate()["eval_nDCG@10"]
    trainer.save_model()
    card = (tmp_path / "README.md").read_text()
    for said in (
        "`made-up.jsonl`: 5 lists, 40 pairs",
        "`lambdaloss`, mu 5.0",
        "| updates | 3, of 8 pairs each",
        f"| 3 | {last:.4f}",
    ):
        assert said in card
    assert card.index("## Usage") < card.index("## Training") < card.index("## Versions")
    assert 'CrossEncoder("' in card
    assert pairchain.inspect(tmp_path).modules[0].type.endswith("Transformer")


def test_a_loss_of_ones_own_is_a_function_or_a_registered_name(tmp_path: Path) -> None:
    def squared(logits: torch.Tensor, labels: torch.Tensor, *, power: int = 2) -> torch.Tensor:
        return (logits - labels).abs().pow(power).mean()

    undo = registry.losses.register("squared", squared)
    try:
        for loss in (squared, "squared"):
            trainer = PairTrainer(chain(), arguments(tmp_path, max_steps=1), ROWS, loss=loss, loss_options={"power": 3})
            assert trainer.loss_name == "squared"
            trainer.train()
    finally:
        undo()
    with pytest.raises(InputError, match="no option 'powr'") as caught:
        PairTrainer(chain(), arguments(tmp_path), ROWS, loss=squared, loss_options={"powr": 3})
    assert "power" in caught.value.next_step
    with pytest.raises(UnknownNameError, match="did you mean 'ranknet'"):
        PairTrainer(chain(), arguments(tmp_path), ROWS, loss="rankent")
    with pytest.raises(InputError, match="cannot be called with"):
        PairTrainer(chain(), arguments(tmp_path), ROWS, loss=lambda logits: logits)


def test_a_head_without_weights_may_be_trained_and_then_scores(tmp_path: Path) -> None:
    with pytest.warns(PairchainWarning, match="random until you train them"):
        model = CrossEncoder(save_tiny(tmp_path / "encoder", "bert"), device="cpu")
    with pytest.raises(RandomWeightsError):
        model.predict(PAIRS)
    trainer = PairTrainer(model, arguments(tmp_path / "out", max_steps=1), ROWS, Rankings.of(ROWS))
    trainer.evaluate()
    trainer.train()
    trainer.save_model()
    assert abs(CrossEncoder(tmp_path / "out", device="cpu").predict(PAIRS) - model.predict(PAIRS)).max() < 1e-5


def test_merging_a_chain_without_adapters_is_that_chain() -> None:
    model = chain()
    assert merged(model) is model


def test_the_configuration_is_saved_as_it_was(tmp_path: Path) -> None:
    kept = json.loads((GOLDEN / "bert_seqcls_1label/model/config.json").read_text())
    trainer = PairTrainer(chain(config_kwargs={"use_cache": True}), arguments(tmp_path, max_steps=1), ROWS)
    trainer.train()
    trainer.save_model()
    assert json.loads((tmp_path / "config.json").read_text()) == {**kept, "use_cache": True}


@pytest.fixture(autouse=True)
def _no_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
