"""The report on a model: the findings of an inspection, which print as text and convert to JSON."""

from __future__ import annotations

from typing import Any

from pairchain.looking.findings import Findings
from pairchain.looking.report_json import to_json
from pairchain.looking.report_text import to_text


class Report(Findings):
    """A report on a model: its chain, the provider of each module, the code it would run, why it may not load."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return to_json(self)

    def __str__(self) -> str:
        return to_text(self)

    __repr__ = __str__
