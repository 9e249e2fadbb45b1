"""A trace is read in a terminal, in a notebook and in Perfetto; and tells of routes which inputs took them."""

from __future__ import annotations

import json
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_calls import loaded
from letters import PAIRS, Difference, letters_model
from route_models import PICTURE, Anything, Says, model_of, routes

from pairchain import Module
from pairchain.errors import FormatError
from pairchain.modules import Router
from pairchain_trace import Trace

BERLIN = "how many people live in berlin ?"
LONG = [(BERLIN, "berlin has museums . " * count) for count in (1, 9, 3, 30, 2, 1)]


class Outer(Module):
    """Nothing but a name that a page and a terminal must not obey."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features["<b>\x1b[31m"] = 1
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None: ...


class Tags(HTMLParser):
    """Reads HTML, and says which tags and texts there are and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def nested(events: list[dict[str, Any]]) -> bool:
    """Return whether of any two events one is in the other or they are apart, as a viewer wants those of a thread."""
    around: list[float] = []
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        end = event["ts"] + event["dur"]
        while around and around[-1] <= event["ts"]:
            around.pop()
        if around and end > around[-1] + 1e-6:
            return False
        around.append(end)
    return True


def test_the_text_names_steps_batches_modules_and_features() -> None:
    text = str(loaded("chain_normalize_layernorm_dense").trace(LONG, batch_size=2))

    for said in (
        "6 pairs, 5 different",
        "encode Transformer",
        "schedule",
        "activation Identity",
        "all else",
        "1 Pooling",
    ):
        assert said in text
    for said in ("token_embeddings", "float32", "cpu", "sentence_embedding", "memory: wrote"):
        assert said in text
    # the shapes of all batches in one
    assert "(1–2, " in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_trace_prints_itself() -> None:
    trace = letters_model().trace(PAIRS)

    assert repr(trace) == str(trace)


def test_many_batches_are_shown_in_part_and_counted() -> None:
    trace = letters_model().trace([("a" * count, "") for count in range(20)], batch_size=1)

    assert "… and 8 more" in str(trace)
    assert "… and 8 more" in trace._repr_html_()


def test_nothing_in_a_trace_steers_a_terminal_or_a_page() -> None:
    model = letters_model()
    model.append(Outer())
    trace = model.trace(PAIRS)

    assert "\x1b" not in str(trace)
    assert "<b>\\x1b[31m" in str(trace)
    page = Tags(trace._repr_html_())
    assert "<b>" in page.text
    assert page.open == []
    assert page.tags <= {"div", "style", "p", "b", "table", "tr", "th", "td", "i"}


def test_a_notebook_shows_the_steps_in_time() -> None:
    html = loaded("chain_normalize_layernorm_dense").trace(LONG, batch_size=2)._repr_html_()

    page = Tags(html)
    for said in ("6 pairs, 5 different", "encode Transformer", "1 Pooling", "token_embeddings", "float32"):
        assert said in page.text
    # the batches are one line of the table, and a bar each
    assert html.count("<i style=") >= 3


@pytest.mark.parametrize("case", ["bert_seqcls_1label", "qwen3_causal_logitscore", "router_by_task"])
def test_perfetto_gets_events_that_lie_in_each_other(case: str, tmp_path: Path) -> None:
    trace = loaded(case).trace(LONG)

    trace.save(tmp_path / "trace.json")

    saved = json.loads((tmp_path / "trace.json").read_text())
    assert saved == trace.to_chrome()
    events = saved["traceEvents"]
    assert {event["ph"] for event in events} <= {"X", "M", "C"}
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) == len(list(trace.root.walk()))
    for event in spans:
        assert event["dur"] >= 0
        assert {"name", "cat", "ts", "pid", "tid", "args"} <= event.keys()
    assert nested(spans)
    named = {(event["name"], event["tid"]): event["args"]["name"] for event in events if event["ph"] == "M"}
    assert named["process_name", 0].startswith("pairchain: CrossEncoder")
    assert named["thread_name", 1] == threading.current_thread().name
    assert {event["tid"] for event in spans} == {1}
    ran = next(event for event in spans if event["name"].startswith("0 "))
    assert ran["args"]["read"]["input_ids"].startswith("int64 [")
    assert next(event for event in spans if event["name"] == "batch 1")["args"]["inputs"]


def test_a_trace_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    trace = letters_model().trace(PAIRS)

    with pytest.raises(FormatError, match="cannot write"):
        trace.save(tmp_path / "nowhere" / "trace.json")
    trace.save(str(tmp_path / "trace.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]


def test_a_trace_says_which_route_took_which_inputs() -> None:
    model = model_of(
        {"text": [Anything(), Says(1)], "other": [Anything(), Says(2)]},
        route_mappings={(None, "text"): "text", (None, "image"): "other"},
    )

    trace = model.trace([("a", "b"), (PICTURE, PICTURE), ("c", "d"), ("a", "b")])

    assert trace.scores.tolist() == [1, 2, 1, 1]
    assert trace.routes == {"0 › text": [0, 2, 3], "0 › other": [1]}
    assert "0 › text: 0, 2, 3" in str(trace)
    assert "0 › text: 0, 2, 3" in trace._repr_html_()


def test_modules_of_routes_are_shown_in_their_route_however_deep() -> None:
    inner = Router(routes("one", "two"), default_route="two", route_mappings={("t", None): "one"})
    model = model_of(Router({"deep": [inner], "flat": [Anything(), Says(9)]}, default_route="deep"), Difference())

    trace = model.trace(PAIRS, task="t")

    assert [module.title for module in trace.modules] == [
        "0 Router",
        "0 › deep › 0 Router",
        "0 › deep › 0 › one › 0 Anything",
        "0 › deep › 0 › one › 1 Says",
        "1 Difference",
    ]
    assert list(trace.routes) == ["0 › deep", "0 › deep › 0 › one"]
    says = trace.modules[3]
    assert (list(says.read), list(says.wrote)) == (["letters"], ["scores"])
    # what a module inside read, the Router read
    assert "letters" in trace.modules[0].read
    assert "scores" in trace.modules[0].wrote


def test_a_golden_router_shows_the_modules_of_the_route_that_ran() -> None:
    trace: Trace = loaded("router_by_task").trace(LONG)

    (route,) = trace.routes
    assert trace.routes[route] == [0, 1, 2, 3, 4, 5]
    assert [module.type for module in trace.modules] == ["Router", "Transformer"]
    assert "input_ids" in trace.modules[0].read
    assert torch.is_tensor(loaded("router_by_task").trace(LONG, convert_to_tensor=True).scores)
