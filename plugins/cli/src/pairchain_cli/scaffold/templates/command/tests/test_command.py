"""Tests of `pairchain new-entry-name`."""

from __future__ import annotations

from pairchain.testing import CommandContract

from new_plugin_name.command import above


class TestCommand(CommandContract):
    """`pairchain` lists the command, describes it and runs it."""

    name = "new-entry-name"
    # what to type after the name; add some that need no download
    examples = (["--help"],)


def test_documents_above_the_threshold_are_kept_in_order() -> None:
    assert above(["a", "b", "c"], [0.9, 0.5, 0.7], 0.5) == ["a", "c"]
