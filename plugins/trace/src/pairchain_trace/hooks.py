"""The answer to pairchain's hook: a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pairchain import hookimpl

if TYPE_CHECKING:
    from pairchain_trace.trace import Trace


@hookimpl
def pairchain_trace(model: Any, inputs: Any, options: Mapping[str, Any]) -> Trace:
    """Return what ``model.predict(inputs, **options)`` does, and its scores."""
    from pairchain_trace.trace import trace

    return trace(model, inputs, options)
