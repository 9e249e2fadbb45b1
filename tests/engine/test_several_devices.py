"""A model on several devices: what a device_map placed stays there, and the features go where each module is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from letters import PAIRS, Difference, Letters
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pairchain import CrossEncoder, PairchainWarning
from pairchain.engine.batches import score_features
from pairchain.modules import Router


class Weighing(Letters):
    """`Letters` with a weight, placed when they were made if a ``device`` is given."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        self.has_device_map = device is not None
        self.register_buffer("weight", torch.ones(2, device=device or "cpu"))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["letters"] = features["letters"] * self.weight
        return features


class Product(Difference):
    """Scores a pair by how many letters each text has, times a weight of its own."""

    num_labels = 2

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(2))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["scores"] = features["letters"] * self.weight
        return features


class Offloaded(Letters):
    """`Letters` with a part that was spread as accelerate does it: its weights come from the disk for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(2, 2, device="meta")
        self.model.hf_device_map = {"embeddings": "cpu", "encoder": "disk"}


class Weighted(Difference):
    """A `Difference` with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def places(model: nn.Module) -> dict[str, str]:
    """Return where each weight of ``model`` is."""
    return {name: str(tensor.device) for name, tensor in model.state_dict(keep_vars=True).items()}


def device_of_scores(model: CrossEncoder, task: str) -> str:
    return str(score_features(model, model.preprocess(PAIRS, task=task), len(PAIRS), {"task": task}).device)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch compute on any device without one, for shapes and devices only; to mix devices is the usual error."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with FakeTensorMode():
        yield


# -- routes on devices of their own --


@pytest.mark.usefixtures("two_gpus")
def test_each_route_stays_where_it_was_placed_and_its_other_modules_follow() -> None:
    model = CrossEncoder(modules=[Router({"a": [Weighing("cuda:0"), Product()], "b": [Weighing("cuda:1"), Product()]})])

    assert places(model) == {
        "0.sub_modules.a.0.weight": "cuda:0",
        "0.sub_modules.a.1.weight": "cuda:0",
        "0.sub_modules.b.0.weight": "cuda:1",
        "0.sub_modules.b.1.weight": "cuda:1",
    }


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("task", ["a", "b", "c"])
def test_inputs_go_to_the_device_of_their_route_and_all_scores_come_to_one(task: str) -> None:
    routes = {"a": [Weighing("cuda:0"), Product()], "b": [Weighing("cuda:1"), Product()], "c": [Letters(), Product()]}
    model = CrossEncoder(modules=[Router(routes)])

    assert device_of_scores(model, task) == "cuda:0"


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("task", ["a", "b"])
def test_a_module_behind_a_router_gets_the_features_of_every_route(task: str) -> None:
    model = CrossEncoder(modules=[Router({"a": [Weighing("cuda:0")], "b": [Weighing("cuda:1")]}), Product()])

    assert places(model)["1.weight"] == "cuda:0"
    assert device_of_scores(model, task) == "cuda:0"


@pytest.mark.usefixtures("two_gpus")
def test_a_model_that_was_placed_is_moved_when_that_is_asked_for_later() -> None:
    router = Router({"a": [Weighing("cuda:0")], "b": [Weighing("cuda:1")]})
    with pytest.warns(PairchainWarning, match="device_map decides the placement; device='cuda:1' is not used"):
        model = CrossEncoder(modules=[router, Product()], device="cuda:1")

    assert set(places(model).values()) == {"cuda:0", "cuda:1"}
    assert model.to("cuda:1") is model
    assert set(places(model).values()) == {"cuda:1"}
    assert [device_of_scores(model, task) for task in "ab"] == ["cuda:1", "cuda:1"]


@pytest.mark.usefixtures("two_gpus")
def test_what_a_module_keeps_elsewhere_on_purpose_stays_there() -> None:
    class Aside(Weighing):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return {**super().forward(features), "lengths": torch.ones(len(PAIRS), device="cpu")}

    model = CrossEncoder(modules=[Aside(), Product()], device="cuda:0")

    features = model({name: value.to("cuda:0") for name, value in model.preprocess(PAIRS).items()})
    assert (str(features["scores"].device), str(features["lengths"].device)) == ("cuda:0", "cpu")


# -- parts that accelerate spread --


def test_a_spread_part_is_never_moved_whatever_is_asked_for() -> None:
    model = CrossEncoder(modules=[Offloaded(), Weighted()], activation_fn=nn.Identity())

    expected = model.predict(PAIRS)
    for move in (
        lambda: model.to("cpu"),
        lambda: model.to("cpu", torch.float64),
        lambda: model.predict([], device="cpu"),
    ):
        with pytest.warns(PairchainWarning, match="a device_map spread over several devices stay"):
            move()
    assert places(model) == {"0.model.weight": "meta", "0.model.bias": "meta", "1.weight": "cpu"}
    assert model[1].weight.dtype == torch.float64
    np.testing.assert_array_equal(model.predict(PAIRS), expected)


def test_a_spread_part_can_be_cast_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    model = CrossEncoder(modules=[Offloaded(), Weighted()])

    assert model.to(torch.float64).dtype == torch.float64
    assert not recwarn.list
