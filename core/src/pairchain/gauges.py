"""How much memory is in use, by whoever counts it: CUDA for each device, the operating system for the process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Gauge:
    """Something that counts memory.

    Attributes:
        name: Whose memory it is: a device's, such as ``cuda:0``, or ``process``.
        used: Returns the bytes in use now.
        peak: Returns the most bytes that were in use since ``reset``; None if that is not counted.
        reset: Begins to count the most anew.
    """

    name: str
    used: Callable[[], int]
    peak: Callable[[], int] | None = None
    reset: Callable[[], None] | None = None


@dataclass(eq=False)
class Reading:
    """What a gauge said before and after something.

    Attributes:
        gauge: The gauge.
        before: Bytes in use before.
        after: Bytes in use after; what other threads took meanwhile is among them.
        most: The most bytes in use meanwhile; None if nobody counted.
    """

    gauge: Gauge
    before: int
    after: int
    most: int | None = None

    @property
    def growth(self) -> int:
        """How many more bytes were in use after than before."""
        return self.after - self.before

    @property
    def peak(self) -> int | None:
        """The most bytes in use meanwhile, beside those that were before; None if nobody counted."""
        return None if self.most is None else max(0, self.most - self.before)


class Meter:
    """Reads gauges before and after what may be inside one another.

    The most that was in use is counted anew for each: what counts from the beginning of the process would only tell of
    the largest. So somebody else who reads torch's peak meanwhile finds it begun anew.

    Args:
        gauges: The gauges.
    """

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = list(gauges)
        self._open: list[Reading] = []

    def begin(self) -> list[Reading]:
        """Return readings that `end` completes."""
        self._note_peaks()
        readings = []
        for gauge in self._gauges:
            if gauge.reset is not None:
                gauge.reset()
            used = gauge.used()
            readings.append(Reading(gauge, used, used, None if gauge.peak is None else used))
        self._open += readings
        return readings

    def end(self, readings: Sequence[Reading]) -> None:
        """Complete what `begin` returned."""
        self._note_peaks()
        for reading in readings:
            reading.after = reading.gauge.used()
            self._open.remove(reading)

    def _note_peaks(self) -> None:
        for reading in list(self._open):
            if reading.gauge.peak is not None and reading.most is not None:
                reading.most = max(reading.most, reading.gauge.peak())


def growth_of(readings: Iterable[Reading]) -> dict[str, int]:
    """Return how many more bytes were in use after than before, in all ``readings`` together, by whose memory it is."""
    growth: dict[str, int] = {}
    for reading in readings:
        growth[reading.gauge.name] = growth.get(reading.gauge.name, 0) + reading.growth
    return growth


def peaks_of(readings: Iterable[Reading]) -> dict[str, int]:
    """Return the most bytes in use beside those before, in any of ``readings``, for each gauge that counts them."""
    peaks: dict[str, int] = {}
    for reading in readings:
        if reading.peak is not None:
            peaks[reading.gauge.name] = max(reading.peak, peaks.get(reading.gauge.name, 0))
    return peaks


def gauges_of(devices: Iterable[torch.device]) -> list[Gauge]:
    """Return what counts the memory of ``devices``: CUDA's counts, or for the CPU the size of the process, if known."""
    found = [_of_cuda(device) for device in devices if device.type == "cuda"]
    return found or ([Gauge("process", _resident)] if _STATM.exists() else [])


def _of_cuda(device: torch.device) -> Gauge:
    cuda = torch.cuda
    return Gauge(
        str(device),
        used=partial(cuda.memory_allocated, device),
        peak=partial(cuda.max_memory_allocated, device),
        reset=partial(cuda.reset_peak_memory_stats, device),
    )


def _resident() -> int:
    return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
