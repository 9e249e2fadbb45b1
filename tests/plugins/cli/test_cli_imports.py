"""What commands that only look import, and what they leave alone: that is what makes them answer at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys
from pairchain_cli.main import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
HEAVY = {"torch", "numpy", "transformers", "huggingface_hub", "pyarrow", "rich"}


def imported(*arguments: object) -> set[str]:
    """Return the packages that a process imports that runs the command."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("plugins", "--help"),
        ("plugins", "list"),
        ("plugins", "show", "Dense"),
        ("new", "-h"),
    ],
    ids=" ".join,
)
def test_what_answers_at_once_imports_neither_torch_nor_a_plugin_nor_what_draws(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert not found & HEAVY
    assert {name for name in found if name.startswith("pairchain")} == {"pairchain", "pairchain_cli"}


def test_help_of_a_command_of_ours_reads_no_metadata() -> None:
    assert "importlib_metadata" not in imported("inspect", "--help")


def test_looking_into_a_model_imports_no_torch(pooled: Path) -> None:
    for arguments in ((), ("--json",), ("--mermaid",), ("--html", "-")):
        assert not imported("inspect", pooled, *arguments) & {"torch", "transformers", "rich"}
