"""The hooks of our own plugins keep the contract of hooks."""

from __future__ import annotations

from pairchain.testing import HookContract


class TestBridge(HookContract):
    distribution = "pairchain-sentence-transformers"


class TestTrace(HookContract):
    distribution = "pairchain-trace"


class TestTransformer(HookContract):
    distribution = "pairchain-transformer"


class TestView(HookContract):
    distribution = "pairchain-view"
