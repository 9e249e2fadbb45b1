"""Measures memory: CUDA counts it for each device, and the operating system for the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Gauge:
    """A counter of memory.

    Attributes:
        name: The device that it measures, such as ``cuda:0``, or ``process``.
        used: Returns the bytes in use now.
        peak: Returns the most bytes in use since ``reset``; None if the gauge counts no peak.
        reset: Restarts the count of the peak.
    """

    name: str
    used: Callable[[], int]
    peak: Callable[[], int] | None = None
    reset: Callable[[], None] | None = None


@dataclass(eq=False)
class Reading:
    """A gauge before and after a step.

    Attributes:
        gauge: The gauge.
        before: Bytes in use before the step.
        after: Bytes in use after the step; other threads may have changed them too.
        most: The most bytes in use during the step; None if the gauge counts no peak.
    """

    gauge: Gauge
    before: int
    after: int
    most: int | None = None

    @property
    def growth(self) -> int:
        """The bytes in use after, minus those before."""
        return self.after - self.before

    @property
    def peak(self) -> int | None:
        """The most bytes in use during the step, minus those before; None if the gauge counts no peak."""
        return None if self.most is None else max(0, self.most - self.before)


class Meter:
    """Reads gauges before and after steps, which may be nested.

    It resets each gauge's peak when a step begins, and so also affects other readers of torch's peak.
    """

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = list(gauges)
        self._open: list[Reading] = []
        self._changing = threading.RLock()

    def begin(self) -> list[Reading]:
        """Return readings for `end` to complete."""
        with self._changing:
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
        """Complete the readings that `begin` returned."""
        with self._changing:
            self._note_peaks()
            for reading in readings:
                reading.after = reading.gauge.used()
                self._open.remove(reading)

    def _note_peaks(self) -> None:
        for reading in self._open:
            if reading.gauge.peak is not None and reading.most is not None:
                reading.most = max(reading.most, reading.gauge.peak())


def growth_of(readings: Iterable[Reading]) -> dict[str, int]:
    """Return the total growth in ``readings``, by name of the gauge."""
    growth: dict[str, int] = {}
    for reading in readings:
        growth[reading.gauge.name] = growth.get(reading.gauge.name, 0) + reading.growth
    return growth


def peaks_of(readings: Iterable[Reading]) -> dict[str, int]:
    """Return the largest peak in ``readings``, by name of the gauge, for gauges that count peaks."""
    peaks: dict[str, int] = {}
    for reading in readings:
        if reading.peak is not None:
            peaks[reading.gauge.name] = max(reading.peak, peaks.get(reading.gauge.name, 0))
    return peaks


def gauges_of(devices: Iterable[torch.device]) -> list[Gauge]:
    """Return CUDA's gauges for ``devices``; without CUDA, a gauge for the process, if the system reports its size."""
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
