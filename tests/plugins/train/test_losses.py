"""The losses: each against a value computed by hand, and against that of sentence-transformers where it has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from pairchain import registry
from pairchain.testing import LossContract

NAMES = [name for name in registry.losses.names() if registry.losses.group.owner(name) == "pairchain-train"]
# a list of three documents, one of two, and padding that must not count
LOGITS = torch.tensor([[2.0, 0.0, 1.0], [-1.0, 1.0, 9.0]])
LABELS = torch.tensor([[2.0, 0.0, 1.0], [1.0, 0.0, 9.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])


def bits(value: float) -> float:
    """The logistic loss of a margin in bits."""
    return math.log2(1 + math.exp(-value))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def share(*values: float) -> float:
    """The softmax of the first value."""
    return math.exp(values[0]) / sum(map(math.exp, values))


def discount(rank: float) -> float:
    return 1 / math.log2(1 + rank)


def rank_error(wanted: float, *margins: float) -> float:
    """ADR-MSE of one document, given by how much each other document scores above it."""
    return (wanted - 1 - sum(map(sigmoid, margins))) ** 2 * discount(wanted)


def lambda_weight(first: int, second: int, gain: float) -> float:
    """NDCG-Loss2++ of two ranks whose gains differ by so much."""
    apart = abs(first - second)
    by_distance = discount(apart) - discount(apart + 1)
    return gain * (10 * by_distance + abs(discount(first) - discount(second)))


# the first list is in the right order; its DCG is 3 + 1 / log2(3)
BEST = 3 + discount(2)
BY_HAND: dict[str, float] = {
    "margin-mse": ((2 - 2) ** 2 + (1 - 1) ** 2 + (-2 - 1) ** 2) / 3,
    "ranknet": (bits(2) + bits(1) + bits(1) + bits(-2)) / 4,
    "listnet": (
        -sum(share(*p) * math.log(share(*p)) for p in ((2, 1, 0), (1, 2, 0), (0, 2, 1)))
        - (share(1, 0) * math.log(share(-1, 1)) + share(0, 1) * math.log(share(1, -1)))
    )
    / 2,
    "listmle": -(math.log(share(2, 1, 0)) + math.log(share(1, 0)) + math.log(share(-1, 1))) / 2,
    # of weights 2^2 - 1, 2^1 - 1 and 0
    "plistmle": -(3 / 4 * math.log(share(2, 1, 0)) + 1 / 4 * math.log(share(1, 0)) + math.log(share(-1, 1))) / 2,
    "lambdaloss": (
        lambda_weight(1, 2, 2 / BEST) * bits(1)
        + lambda_weight(1, 3, 3 / BEST) * bits(2)
        + lambda_weight(2, 3, 1 / BEST) * bits(1)
        + lambda_weight(1, 2, 1) * bits(-2)
    )
    / 4,
    "multiple-negatives": -(
        math.log(share(10 * sigmoid(2), 10 * sigmoid(0), 10 * sigmoid(1)))
        + math.log(share(10 * sigmoid(-1), 10 * sigmoid(1)))
    )
    / 2,
    "adr-mse": (
        rank_error(1, -2, -1) + rank_error(3, 2, 1) + rank_error(2, 1, -1) + rank_error(1, 2) + rank_error(2, -2)
    )
    / 5,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_of_lists_is_as_computed_by_hand(name: str) -> None:
    found = registry.losses.load(name)(LOGITS, LABELS, MASK)
    assert float(found) == pytest.approx(BY_HAND[name], rel=1e-5)


PAIRS = torch.tensor([1.0, -2.0])
TARGETS = torch.tensor([1.0, 0.25])


@pytest.mark.parametrize(
    ("name", "logits", "labels", "expected"),
    [
        ("mse", PAIRS, TARGETS, (0 + 2.25**2) / 2),
        (
            "bce",
            PAIRS,
            TARGETS,
            (-math.log(sigmoid(1)) - 0.25 * math.log(sigmoid(-2)) - 0.75 * math.log(sigmoid(2))) / 2,
        ),
        (
            "cross-entropy",
            torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]),
            torch.tensor([1.0, 0.0]),
            -(math.log(share(1, 0, 2)) + math.log(share(3, 0, 0))) / 2,
        ),
    ],
)
def test_a_loss_of_pairs_is_as_computed_by_hand(
    name: str, logits: torch.Tensor, labels: torch.Tensor, expected: float
) -> None:
    assert float(registry.losses.load(name)(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_every_loss_is_computed_by_hand() -> None:
    assert {*NAMES} == {*BY_HAND, "mse", "bce", "cross-entropy"}


def test_options_change_a_loss_as_they_say() -> None:
    load = registry.losses.load
    assert float(load("bce")(PAIRS[:1], TARGETS[:1], pos_weight=3.0)) == pytest.approx(-3 * math.log(sigmoid(1)))
    assert float(load("ranknet")(LOGITS[1:], LABELS[1:], MASK[1:], sigma=0.5)) == pytest.approx(bits(-1))
    plain = load("multiple-negatives")(LOGITS[:1], LABELS[:1], MASK[:1], scale=0)
    assert float(plain) == pytest.approx(-math.log(share(2, 0, 1)))
    first = load("lambdaloss")(LOGITS[:1], LABELS[:1], MASK[:1], top=1, mu=0)
    weights = [(discount(1) - discount(2)) * 2 / 3 * bits(1), (discount(1) - discount(3)) * bits(2)]
    assert float(first) == pytest.approx(sum(weights) / 2)


@pytest.mark.parametrize(("logits", "label"), [(PAIRS, 0.0), (torch.zeros(2, 3), 0.5), (torch.zeros(2, 3), 3.0)])
def test_cross_entropy_names_what_does_not_fit(logits: torch.Tensor, label: float) -> None:
    with pytest.raises(ValueError, match=r"several scores|numbers of classes"):
        registry.losses.load("cross-entropy")(logits, torch.tensor([0.0, label]))


def test_long_lists_stay_finite() -> None:
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels, mask = torch.arange(300.0).repeat(2, 1) / 100, torch.ones(2, 300, dtype=torch.bool)
    for name in BY_HAND:
        (gradient,) = torch.autograd.grad(registry.losses.load(name)(logits, labels, mask), logits)
        assert gradient.isfinite().all(), name


class TestADRMSE(LossContract):
    name = "adr-mse"


class TestBCE(LossContract):
    name = "bce"
    options = {"pos_weight": 2.0}


class TestCrossEntropy(LossContract):
    name = "cross-entropy"
    num_labels = 3


class TestLambdaLoss(LossContract):
    name = "lambdaloss"
    options = {"top": 3}


class TestListMLE(LossContract):
    name = "listmle"


class TestListNet(LossContract):
    name = "listnet"


class TestMarginMSE(LossContract):
    name = "margin-mse"


class TestMSE(LossContract):
    name = "mse"


class TestMultipleNegatives(LossContract):
    name = "multiple-negatives"


class TestPListMLE(LossContract):
    name = "plistmle"


class TestRankNet(LossContract):
    name = "ranknet"


# -- against sentence-transformers ------------------------------------------------------------------------------------

QUERIES = ["how many people live in berlin ?", "a monkey"]
DOCUMENTS = [
    ["berlin had a population of 3520031 .", "a b c", "the monkey is here"],
    ["monkey monkey", "people of berlin"],
]
# all different, because the libraries may order equal labels in different ways
GRADES = [[2.0, 0.0, 1.0], [0.0, 1.0]]


@cache
def peer_model(golden: Path, case: str) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(golden / case / "model"), device="cpu").eval()


def peer_logits(model: Any, pairs: list[tuple[str, str]]) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = model(model.preprocess(pairs))["scores"]
    return scores.squeeze(1) if scores.shape[1] == 1 else scores


def padded(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


Lists = dict[str, Callable[[Any, Any], Any]]
LISTS: Lists = {
    "adr-mse": lambda losses, model: losses.ADRMSELoss(model),
    "lambdaloss": lambda losses, model: losses.LambdaLoss(model),
    "listmle": lambda losses, model: losses.ListMLELoss(model, respect_input_order=False),
    "listnet": lambda losses, model: losses.ListNetLoss(model),
    "plistmle": lambda losses, model: losses.PListMLELoss(model, respect_input_order=False),
    "ranknet": lambda losses, model: losses.RankNetLoss(model),
}


@pytest.mark.peer
@pytest.mark.parametrize("name", LISTS)
def test_a_loss_of_lists_is_that_of_sentence_transformers(name: str, golden: Path) -> None:
    from sentence_transformers.cross_encoder import losses

    model = peer_model(golden, "bert_seqcls_1label")
    labels = [torch.tensor(row) for row in GRADES]
    with torch.no_grad():
        expected = LISTS[name](losses, model)([QUERIES, DOCUMENTS], labels)
    rows = [peer_logits(model, [(query, text) for text in row]) for query, row in zip(QUERIES, DOCUMENTS, strict=True)]
    found = registry.losses.load(name)(padded(rows), padded(labels), MASK)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "peer", "case", "labels"),
    [
        ("bce", "BinaryCrossEntropyLoss", "bert_seqcls_1label", [1.0, 0.0]),
        ("mse", "MSELoss", "bert_seqcls_1label", [0.75, -3.0]),
        ("cross-entropy", "CrossEntropyLoss", "bert_seqcls_3labels", [2, 0]),
    ],
)
def test_a_loss_of_pairs_is_that_of_sentence_transformers(
    name: str, peer: str, case: str, labels: list[float], golden: Path
) -> None:
    from sentence_transformers.cross_encoder import losses

    model = peer_model(golden, case)
    documents, wanted = [row[0] for row in DOCUMENTS], torch.tensor(labels)
    with torch.no_grad():
        expected = getattr(losses, peer)(model)([QUERIES, documents], wanted)
    found = registry.losses.load(name)(peer_logits(model, list(zip(QUERIES, documents, strict=True))), wanted)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["margin-mse", "multiple-negatives"])
def test_a_loss_with_a_positive_is_that_of_sentence_transformers(name: str, golden: Path) -> None:
    from sentence_transformers.cross_encoder import losses

    model = peer_model(golden, "bert_seqcls_1label")
    positives, negatives = [row[0] for row in DOCUMENTS], [row[1] for row in DOCUMENTS]
    columns = [QUERIES, positives, negatives]
    if name == "margin-mse":
        labels = torch.tensor([[4.0, 1.0], [0.5, 2.0]])
        expected, lists = losses.MarginMSELoss(model)(columns, labels), list(zip(positives, negatives, strict=True))
    else:
        # its negatives are all documents of the batch
        labels = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
        expected = losses.MultipleNegativesRankingLoss(model, num_negatives=None)(columns, None)
        lists = [(*positives, *negatives)] * 2
    rows = [peer_logits(model, [(query, text) for text in row]) for query, row in zip(QUERIES, lists, strict=True)]
    found = registry.losses.load(name)(torch.stack(rows), labels, torch.ones_like(labels, dtype=torch.bool))
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
