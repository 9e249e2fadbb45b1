"""The queue of a model: requests take turns by tokens, units of a slice are of similar length, nothing dropped runs."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from pairchain import Encoded
from pairchain_serve.batching import Job, Queue


def prepared(*lengths: int) -> Any:
    """What the queue reads of a prepared call."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    items = [Encoded(None, length) for length in lengths]
    # compared by identity, as prepared calls are
    return type("Call", (SimpleNamespace,), {"__hash__": object.__hash__, "__eq__": object.__eq__})(
        items=items, units=[[number] for number in order]
    )


def job(queue: Queue, *lengths: int) -> Job:
    made = Job(lambda job: None)
    queue.add(made, prepared(*lengths))
    return made


def taken(queue: Queue, most: int) -> list[tuple[Job, int]]:
    units = queue.take(lambda calls: most)
    assert units is not None
    return [(unit.job, unit.length) for unit in units]


def test_a_short_request_is_in_the_slice_after_it_arrives() -> None:
    queue = Queue()
    long = job(queue, *[10] * 100)
    assert {one for one, _ in taken(queue, 50)} == {long}
    short = job(queue, 7)
    assert short in {one for one, _ in taken(queue, 50)}


def test_requests_get_equal_shares_of_tokens() -> None:
    queue = Queue()
    jobs = [job(queue, *[10] * 40), job(queue, *[20] * 40), job(queue, *[5] * 40)]
    tokens: Counter[Job] = Counter()
    for _ in range(6):
        for one, length in taken(queue, 50):
            tokens[one] += length
    assert max(tokens.values()) - min(tokens[one] for one in jobs) <= 20


def test_units_of_one_slice_are_of_similar_length() -> None:
    queue = Queue()
    job(queue, 100, 50, 10)
    job(queue, 98, 49, 11)
    job(queue, 101, 52, 9)
    slices = [sorted(length for _, length in taken(queue, 250)) for _ in range(2)]
    assert slices[0] == [98, 100, 101]


def test_nothing_waits_forever() -> None:
    queue = Queue()
    first = job(queue, *range(1, 60))
    rounds = 0
    while first.units:
        job(queue, 30)
        taken(queue, 60)
        rounds += 1
        assert rounds < 200


def test_what_is_dropped_is_not_taken() -> None:
    queue = Queue()
    gone, here = job(queue, 5, 5), job(queue, 5)
    queue.drop(gone)
    queue.add(gone, prepared(5))
    assert taken(queue, 100) == [(here, 5)]
    queue.close()
    assert queue.take(lambda calls: 100) is None


def test_a_closed_queue_gives_what_waits_first() -> None:
    queue = Queue()
    here = job(queue, 5)
    queue.close()
    assert taken(queue, 100) == [(here, 5)]
    assert queue.take(lambda calls: 100) is None


def test_the_size_of_a_slice_is_asked_for_the_number_of_requests_that_wait() -> None:
    queue = Queue()
    for _ in range(3):
        job(queue, 10, 10)
    units = queue.take(lambda calls: 20 * calls)
    assert units is not None
    assert sum(unit.length for unit in units) == 60
