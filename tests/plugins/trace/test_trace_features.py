"""What a module read is what it took, however it did; and a module does not notice that somebody looks."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, UserDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from letters import PAIRS, Difference, Letters

from pairchain import CrossEncoder, Module
from pairchain_trace import Trace
from pairchain_trace.features import Feature, WatchedFeatures, plain
from pairchain_trace.summary import ModuleSummary


class Three(Letters):
    """Writes two features beside ``letters``."""

    writes = frozenset({"letters", "other", "third"})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**features, "other": features["letters"] + 1, "third": "a text"}


class Does(Module):
    """Does what a function does to the features."""

    def __init__(
        self, function: Callable[[Any], Any], reads: frozenset[str] | None = None, writes: frozenset[str] | None = None
    ) -> None:
        super().__init__()
        self.function, self.reads, self.writes = function, reads, writes

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        self.function(features)
        features["scores"] = torch.ones(4, 1)
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None: ...


def trace_of(function: Callable[[Any], Any], **declared: Any) -> tuple[Trace, ModuleSummary]:
    trace = CrossEncoder(modules=[Three(), Does(function, **declared)]).trace(PAIRS)
    return trace, trace.modules[1]


def looping(features: Any) -> None:
    for name in features:
        if name != "other":
            features[name]


def asking(features: Any) -> None:
    list(features)
    for name in ("letters", "other", "third"):
        features.get(name)


@pytest.mark.parametrize(
    ("function", "read"),
    [
        (asking, ["letters", "other", "third"]),
        (lambda features: features["other"], ["other"]),
        (lambda features: features.get("third"), ["third"]),
        (lambda features: features.pop("third"), ["third"]),
        (lambda features: features.pop("absent", None), []),
        (lambda features: features.setdefault("third", "x"), ["third"]),
        (lambda features: "other" in features, []),
        (lambda features: len(features), []),
        (lambda features: features.keys() <= {"other"}, []),
        (lambda features: features.update(other=features["third"]), ["third"]),
        (looping, ["letters", "third"]),
    ],
)
def test_what_a_module_takes_by_name_is_what_it_read(function: Callable[[Any], Any], read: list[str]) -> None:
    _, module = trace_of(function)

    assert list(module.read) == read
    assert not module.took_all


def taking(**features: Any) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        lambda features: dict(features),
        lambda features: {**features},
        lambda features: taking(**features),
        lambda features: features.copy(),
        lambda features: copy.copy(features),
        lambda features: copy.deepcopy(features),
        lambda features: pickle.loads(pickle.dumps(features)),
        lambda features: features | {"new": 1},
        lambda features: {"new": 1} | features,
        lambda features: dict(features.items()),
        lambda features: {name: features[name] for name in features},
        lambda features: list(features.values()),
    ],
)
def test_who_takes_all_features_together_is_said_to_have_done_so(function: Callable[[Any], Any]) -> None:
    trace, module = trace_of(function, reads=frozenset({"letters"}), writes=frozenset({"scores", "new"}))

    assert module.took_all
    assert "took all features together" in str(trace)
    # of what is not known nothing is remarked
    assert not any("reads" in remark for remark in trace.remarks)


def test_what_is_written_changed_and_taken_out_is_told_apart() -> None:
    def change(features: dict[str, Any]) -> None:
        features["letters"] = features["letters"] * 2
        features |= {"new": torch.ones(2, dtype=torch.int64)}
        del features["third"]

    _, module = trace_of(change)

    assert list(module.wrote) == ["letters", "new", "scores"]
    assert module.wrote["new"] == [Feature("int64", (2,), "cpu", 16)]
    assert module.took_out == ["third"]


def test_what_a_module_reads_of_its_own_is_not_read() -> None:
    def change(features: dict[str, Any]) -> None:
        features["new"] = features["letters"]
        features["new"].sum()

    assert list(trace_of(change)[1].read) == ["letters"]


@pytest.mark.parametrize(
    ("function", "declared", "remark"),
    [
        (lambda features: None, {"reads": frozenset({"other"})}, "declares that it reads 'other', and did not"),
        (
            lambda features: features["other"],
            {"reads": frozenset()},
            "needs 'other', and does not declare that it reads it",
        ),
        (
            lambda features: features.update(new=1),
            {"writes": frozenset({"scores"})},
            "wrote 'new', which it does not declare",
        ),
        (
            lambda features: None,
            {"writes": frozenset({"scores", "new"})},
            "declares that it writes 'new', and did not",
        ),
    ],
)
def test_a_module_that_does_not_do_what_it_declares_is_remarked_on(
    function: Callable[[Any], Any], declared: dict[str, Any], remark: str
) -> None:
    trace, module = trace_of(function, **declared)

    assert module.remarks == [remark]
    assert trace.remarks == [f"1 Does: {remark}"]
    assert f"! it {remark}" in str(trace)
    assert remark.replace("'", "&#x27;") in trace._repr_html_()


def test_what_a_module_reads_only_if_it_is_there_needs_no_declaration() -> None:
    def look(features: dict[str, Any]) -> None:
        features.get("third")
        if "other" in features:
            features["other"].sum()

    trace, module = trace_of(look, reads=frozenset())

    assert list(module.read) == ["third", "other"]
    assert not trace.remarks


@pytest.mark.parametrize("kind", [OrderedDict, UserDict])
def test_features_that_are_no_plain_dict_stay_what_they_are(kind: type) -> None:
    class Returns(Letters):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> Any:
            return kind(features)

    seen: list[type] = []
    model = CrossEncoder(modules=[Returns(), Does(lambda features: seen.append(type(features)))])

    trace = model.trace(PAIRS)

    assert seen == [kind]
    assert not trace.modules[1].reads_are_known
    assert list(trace.modules[1].wrote) == ["scores"]
    assert "what it read is unknown" in str(trace)


def test_what_a_module_does_to_the_features_it_is_given_is_done_to_those() -> None:
    kept: list[Any] = []

    class Chain(CrossEncoder):
        def forward(self, features: Any, **kwargs: Any) -> Any:
            # whoever holds on to the features that went in finds there what modules wrote
            features = dict(features)
            super().forward(features, **kwargs)
            kept.append(features)
            return features

    model = Chain(modules=[Letters(), Difference()], activation_fn=torch.nn.Identity())

    assert model.trace(PAIRS).scores.tolist() == model.predict(PAIRS).tolist() == [-3, 2, 0, -3]
    assert [type(features) for features in kept] == [dict, dict]


def test_no_module_hands_on_features_that_are_watched() -> None:
    seen: list[type] = []

    class Looks(Difference):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            seen.append(type(features))
            return {"inner": features, **super().forward(features)}

    class After(Difference):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            features["scores"] = features["scores"] * 2
            return features

    model = CrossEncoder(modules=[Letters(), Looks(), After()], activation_fn=torch.nn.Identity())

    assert model.trace(PAIRS).scores.tolist() == [-6, 4, 0, -6]
    assert issubclass(seen[0], dict)
    assert isinstance(plain(WatchedFeatures({"a": 1})), dict)
