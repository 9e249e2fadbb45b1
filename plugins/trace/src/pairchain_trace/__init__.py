"""Traces a call of pairchain: its steps and their times, and what each module reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_trace.trace import Trace as Trace

__version__ = "0.1.0"

__all__ = ["Trace"]


def __getattr__(name: str) -> Any:
    # every load imports this package for its hook, but only a trace needs the rest
    if name == "Trace":
        from pairchain_trace.trace import Trace

        globals()[name] = Trace
        return Trace
    raise AttributeError(f"module 'pairchain_trace' has no attribute {name!r}")
