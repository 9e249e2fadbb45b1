"""What a benchmark ran on, and with which versions, so that a figure is never without them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "onnxruntime",
    "openvino",
    "pairchain-core",
)


@dataclass(frozen=True)
class Machine:
    """A machine and what runs on it.

    Attributes:
        device: The device that scores, by its name.
        cores: Processors that this process may use.
        threads: Threads that torch computes with.
        memory: Bytes of memory.
        system: Operating system and Python.
        versions: By distribution.
    """

    device: str
    cores: int
    threads: int
    memory: int
    system: str
    versions: dict[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.hardware}; {self.system}; {versions}"

    @property
    def hardware(self) -> str:
        """The device, its threads and its memory, in a line."""
        return f"{self.device}, {self.cores} cores, {self.threads} threads, {self.memory / 2**30:.0f} GiB"


def this_machine(device: str) -> Machine:
    """Return what this process runs on, with the models on ``device``."""
    return Machine(
        device=torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions={name: version for name in _PACKAGES if (version := _version(name))},
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    # a virtual machine's processor often has a name that says little
    family = ", ".join(f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields)
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({family + ', ' if family else ''}{torch.backends.cpu.get_cpu_capability()})"
