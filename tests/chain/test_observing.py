"""An observer sees what a call does; without one, steps and notes cost next to nothing and change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from letters import PAIRS, Difference, Letters, letters_model

from pairchain import CrossEncoder
from pairchain.authoring import note, observed_by, step


class Log:
    """Writes down everything that an observer sees."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def _block(self, line: str) -> Iterator[None]:
        self.lines.append(line)
        yield
        self.lines.append(f"end of {line.split()[0]}")

    def step(self, kind: str, name: str) -> Any:
        return self._block(f"{kind} {name}".strip())

    def call(self, first_of: Sequence[int], most_tokens: int, most_pairs: int | None) -> Any:
        return self._block(f"call {list(first_of)} {most_pairs}")

    def batch(self, inputs: Sequence[int], lengths: Sequence[int] | None) -> Any:
        return self._block(f"batch {list(inputs)} {lengths}")

    def run(self, module: Any, name: str, features: Any, keywords: Mapping[str, Any]) -> Any:
        self.lines.append(f"run {name} {type(module).__name__}")
        return module(features, **keywords)

    def note(self, text: str) -> None:
        self.lines.append(f"note {text}")


@step("look up", "offsets")
def looked_up(value: int) -> int:
    note("found it")
    return value + 1


def test_an_observer_sees_calls_batches_modules_steps_and_notes_in_their_order() -> None:
    log = Log()

    with observed_by(log):
        scores = letters_model().predict([*PAIRS[:2], PAIRS[0]], batch_size=2)
        assert looked_up(1) == 2

    assert scores.tolist() == [-3, 2, -3]
    assert log.lines == [
        "call [0, 1, 0] 2",
        "schedule",
        "end of schedule",
        "batch [0, 1] None",
        "preprocess Letters",
        "end of preprocess",
        "run 0 Letters",
        "run 1 Difference",
        "end of batch",
        "end of call",
        "activation Identity",
        "end of activation",
        "look up offsets",
        "note found it",
        "end of look",
    ]


def test_without_an_observer_steps_change_nothing() -> None:
    assert looked_up(1) == 2
    assert looked_up.__name__ == "looked_up"
    with pytest.raises(KeyError), step("look up"):
        raise KeyError


def test_what_is_read_is_found_out_once_in_a_call() -> None:
    asked: list[str] = []

    class Offers(Letters):
        @property
        def offers_parts(self) -> frozenset[str]:
            asked.append("offers_parts")
            return frozenset({"letters"})

    model = CrossEncoder(modules=[Offers(), Difference()])

    model.predict(PAIRS, batch_size=1)

    assert asked == ["offers_parts"]
