"""The report on a model: the findings of an inspection, which print as text and convert to JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pairchain.code.bundle import Code
from pairchain.format import headers
from pairchain.looking.findings import Findings, ModuleReport
from pairchain.looking.report_text import to_text
from pairchain.registry.metadata import installed_version

# Levels below this are replaced by "…".
_DEEPEST = 30


class Report(Findings):
    """A report on a model: its chain, the provider of each module, the code it would run, why it may not load."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        config = self.config
        values: dict[str, Any] = {
            "name": self.source.name,
            "commit": self.source.commit,
            "subfolder": self.source.subfolder,
            "loads": not self.failures,
            "labels": self.labels,
            "modules": [_module_json(module) for module in self.modules],
            "proposed_by": self.proposed_by,
            "weights": headers.as_json(self.total) if self.total.tensors else None,
            "activation": self.activation,
            "backends": self.backends,
            "backend_loads": self.backend_loads,
            "settings": None if config is None else config.to_json(),
            "elsewhere": self.elsewhere,
            "code": [{"for": purpose, **_code_json(code)} for purpose, code in self.code.items()],
            "foreign_settings": [
                {"file": setting.file, "setting": setting.text, "goes_to": setting.goes_to, "approval": found.approval}
                for found in self.foreign_settings
                for setting in found.settings
            ],
            "approvals": self.approvals,
            "other_code": self.other_code,
            "files": list(self.files),
            "pickles": self.pickles,
            "problems": [problem.to_json() for problem in self.problems],
        }
        return {key: _plain(value) for key, value in values.items()}

    def __str__(self) -> str:
        return to_text(self)

    __repr__ = __str__


def _plain(value: Any, depth: int = 0) -> Any:
    """Return ``value`` with NaN and infinities as text: Python writes them as JSON, but standard JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping | list | tuple) and depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    return [_plain(item, depth + 1) for item in value] if isinstance(value, list | tuple) else value


def _module_json(module: ModuleReport) -> dict[str, Any]:
    provider = module.provider
    plugin = provider.plugin if provider else None
    if provider is None:
        kind = "library" if module.library else "none"
    else:
        kind = "plugin" if plugin is not None else "code" if provider.code is not None else "caller"
    return {
        "name": module.name,
        "path": module.path,
        "type": module.type,
        "provider": {
            "kind": kind,
            "distribution": plugin.distribution if plugin else module.library,
            "version": plugin.version if plugin else installed_version(module.library) if module.library else "",
            "code": _code_json(provider.code) if provider and provider.code else None,
        },
        "kwargs": list(module.kwargs),
        "labels": module.labels,
        "summary": module.facts.summary,
        "weights": headers.as_json(module.weights) if module.weights else None,
        "config": dict(module.config),
        "modules": [_module_json(inner) for inner in module.modules],
    }


def _code_json(code: Code) -> dict[str, Any]:
    return {
        "source": code.source.name,
        "commit": code.source.commit,
        "digest": code.digest,
        "approval": code.approval,
        "files": [
            {
                "path": file.path,
                "bytes": len(file.content),
                "sha256": file.sha256,
                "imports": list(file.imports),
                "at": file.shown_at,
            }
            for file in code.files
        ],
    }
