"""Memory is what somebody counts; what is inside something else counts for both."""

from __future__ import annotations

import mmap
import sys
import tracemalloc
from collections.abc import Iterator

import pytest
import torch
from letters import PAIRS, letters_model

from pairchain_trace.memory import Gauge, Meter, gauges_of

MIB = 2**20


@pytest.fixture
def meter() -> Iterator[Meter]:
    """A meter of what Python allocates, which counts its peak as CUDA does."""
    tracemalloc.start()
    yield Meter(
        [
            Gauge(
                "python",
                used=lambda: tracemalloc.get_traced_memory()[0],
                peak=lambda: tracemalloc.get_traced_memory()[1],
                reset=tracemalloc.reset_peak,
            )
        ]
    )
    tracemalloc.stop()


def test_a_peak_is_the_most_while_it_ran_beside_what_was_there(meter: Meter) -> None:
    before = bytearray(4 * MIB)

    readings = meter.begin()
    bytearray(3 * MIB)
    kept = bytearray(MIB)
    meter.end(readings)

    (reading,) = readings
    assert reading.peak == pytest.approx(3 * MIB, abs=MIB / 4)
    assert reading.growth == pytest.approx(len(kept), abs=MIB / 4)
    assert reading.before > len(before)


def test_a_peak_inside_a_step_is_one_of_the_step_and_not_of_the_next(meter: Meter) -> None:
    outer = meter.begin()
    bytearray(2 * MIB)
    first = meter.begin()
    bytearray(5 * MIB)
    meter.end(first)
    second = meter.begin()
    bytearray(MIB)
    meter.end(second)
    meter.end(outer)

    peaks = [reading.peak for (reading,) in (outer, first, second)]
    assert peaks == [pytest.approx(mib * MIB, abs=MIB / 4) for mib in (5, 5, 1)]


def test_a_peak_before_an_inner_step_is_not_forgotten(meter: Meter) -> None:
    outer = meter.begin()
    bytearray(4 * MIB)
    meter.end(meter.begin())
    meter.end(outer)

    assert outer[0].peak == pytest.approx(4 * MIB, abs=MIB / 4)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the size of a process in a file")
def test_on_a_cpu_the_process_is_measured_and_no_peak_is_claimed() -> None:
    (gauge,) = gauges_of([torch.device("cpu")])
    trace = letters_model(lambda letters: letters[:, 0]).trace(PAIRS)

    before = gauge.used()
    # pages of its own: an allocator may serve a tensor from memory that earlier tests freed
    with mmap.mmap(-1, 64 * MIB) as held:
        held.write(b"1" * len(held))
        assert gauge.used() - before == pytest.approx(len(held), rel=0.5)
    assert gauge.peak is None
    for module in trace.modules:
        assert list(module.growth) == ["process"]
        assert module.peaks == {}
    assert "the process " in str(trace)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_counts_what_a_module_took_at_its_peak() -> None:
    def head(letters: torch.Tensor) -> torch.Tensor:
        return letters[:, 0] + torch.ones(MIB, device=letters.device).sum()

    trace = letters_model(head, device="cuda").trace(PAIRS)

    (peak,) = trace.modules[1].peaks.values()
    assert 4 * MIB <= peak < 8 * MIB
    assert "at its peak on cuda" in str(trace)
