"""The plugin's answer to the hook for the page of a server."""

from __future__ import annotations

from typing import Any

from pairchain.hooks import hookimpl


@hookimpl
def pairchain_page(model: Any, options: Any) -> Any:
    """Return the page of `pairchain view`, for another server."""
    from pairchain_view.page import Page

    return Page.of(model, options)
