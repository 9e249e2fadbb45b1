"""Implements pairchain's hook for traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pairchain import hookimpl

if TYPE_CHECKING:
    from pairchain_trace.trace import Trace


@hookimpl(trylast=True)
def pairchain_trace(model: Any, inputs: Any, options: Mapping[str, Any]) -> Trace:
    """Return a trace of ``model.predict(inputs, **options)``."""
    from pairchain_trace.trace import trace

    return trace(model, inputs, options)
