"""A report on a model as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pairchain.code.bundle import Code
from pairchain.format import headers
from pairchain.looking.findings import Findings, ModuleReport
from pairchain.registry.discovery import installed_version

# Levels below this are replaced by "…".
_DEEPEST = 30


def to_json(report: Findings) -> dict[str, Any]:
    config = report.config
    values: dict[str, Any] = {
        "name": report.source.name,
        "commit": report.source.commit,
        "subfolder": report.source.subfolder,
        "loads": not report.failures,
        "labels": report.labels,
        "modules": [_module_json(module) for module in report.modules],
        "proposed_by": report.proposed_by,
        "weights": headers.as_json(report.total) if report.total.tensors else None,
        "activation": report.activation,
        "backends": report.backends,
        "settings": None if config is None else config.to_json(),
        "elsewhere": report.elsewhere,
        "code": [{"for": purpose, **_code_json(code)} for purpose, code in report.code.items()],
        "foreign_settings": [
            {"file": setting.file, "setting": setting.text, "goes_to": setting.goes_to, "approval": found.approval}
            for found in report.foreign_settings
            for setting in found.settings
        ],
        "approvals": report.approvals,
        "other_code": report.other_code,
        "files": list(report.files),
        "pickles": report.pickles,
        "problems": [problem.to_json() for problem in report.problems],
    }
    return {key: _plain(value) for key, value in values.items()}


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
    return {
        "name": module.name,
        "path": module.path,
        "type": module.type,
        "provider": {
            "kind": _kind(module),
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


def _kind(module: ModuleReport) -> str:
    provider = module.provider
    if provider is None:
        return "library" if module.library else "nobody"
    return "plugin" if provider.plugin is not None else "code" if provider.code is not None else "caller"


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
