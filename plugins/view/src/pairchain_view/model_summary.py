"""Describes a loaded model for the page: its modules with their providers and weights, and why each may run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from torch import nn

from pairchain import CrossEncoder, ModuleReport, Report, registry
from pairchain.authoring import code_of, installed_version, parameters_inside, policy_of, shortened
from pairchain_cli.authoring import ModelOptions

JSON = dict[str, Any]

_LONGEST_SETTING = 400
_NO_REPORT = "The model's files could not be read again, so their types and notes are missing here."


def of_model(model: CrossEncoder, report: Report | None, wanted: ModelOptions) -> JSON:
    """Return the description of a model, as JSON.

    Args:
        model: The model.
        report: The report on its files; None if they cannot be read.
        wanted: The options that it was loaded with.
    """
    source = model.source
    activation = model.activation_fn
    reports = {module.name: module for module in report.modules} if report else {}
    return {
        "name": wanted.model if source is None else source.name,
        "commit": None if source is None else source.commit,
        "subfolder": wanted.subfolder,
        "lock": None if wanted.lock is None else str(wanted.lock),
        "labels": _label_names(model),
        "activation": type(activation).__name__ if isinstance(activation, nn.Module) else str(activation),
        "max_length": model.max_seq_length,
        "weights": _weights(model),
        "modules": [
            _module(name, module, reports.get(name), wanted)
            for name, module in model._modules.items()
            if module is not None
        ],
        "code": _code_beside(report, wanted) if report else [],
        "notes": [problem.text for problem in report.problems if not problem.fails] if report else [_NO_REPORT],
    }


def _module(name: str, module: nn.Module, report: ModuleReport | None, wanted: ModelOptions) -> JSON:
    return {
        "name": name,
        "class": type(module).__name__,
        "type": report.type if report else f"{type(module).__module__}.{type(module).__qualname__}",
        "summary": report.facts.summary if report and not report.modules else _model_class(module),
        "provider": _provider(type(module), report, wanted),
        "weights": _weights(module),
        "reads": _names(module, "reads"),
        "writes": _names(module, "writes"),
        "kwargs": list(report.kwargs) if report else [],
        "settings": _settings(module),
        "routes": _routes(module, report, wanted),
    }


def _routes(module: Any, report: ModuleReport | None, wanted: ModelOptions) -> list[JSON]:
    """Return the chains inside a module that contains several, such as a Router."""
    chains = getattr(module, "sub_modules", None)
    if not isinstance(chains, nn.ModuleDict):
        return []
    reports = report.routes if report else {}
    default = getattr(module, "default_route", None)
    return [
        {
            "name": name,
            "is_default": name == default,
            "modules": [
                _module(str(place), child, inner, wanted)
                for place, (child, inner) in enumerate(zip_longest(chain.children(), reports.get(name, ())))
            ],
        }
        for name, chain in chains.items()
    ]


def _provider(cls: type, report: ModuleReport | None, wanted: ModelOptions) -> JSON:
    """Return the provider of a class, and why the class was allowed to run."""
    if (code := code_of(cls)) is not None:
        how = "you trust any code of this model" if wanted.allowed is True else f"approved: {code.approval}"
        return {
            "name": code.source.path_of(code.entry.path),
            "version": code.source.commit or "",
            "where": "beside the model" if not code.is_elsewhere else f"in {code.source.name}",
            "trust": "trusted" if wanted.allowed is True else "approved",
            "why": f"code that comes with the model; {how}",
            "digest": code.digest,
        }
    if report is not None and report.library:
        return _installed(report.library, f"a library that you installed, through {report.library_plugin}")
    origin = registry.default.origin(cls)
    if origin.distribution:
        return {**_installed(origin.distribution, "a plugin that you installed"), "version": origin.version}
    return {**_installed(origin.module, "defined in an imported module"), "trust": "imported"}


def _installed(name: str, why: str) -> JSON:
    return {"name": name, "version": installed_version(name), "where": "", "trust": "installed", "why": why}


def _code_beside(report: Report, wanted: ModelOptions) -> list[JSON]:
    """Return the code that comes with the model, and whether it was allowed to run."""
    policy = policy_of(wanted.allowed, False, wanted.code_revisions, None)
    return [
        {
            "for": purpose,
            "approval": code.approval,
            "is_allowed": policy.approves(code),
            "files": [{"path": file.path, "at": file.shown_at, "imports": list(file.imports)} for file in code.files],
        }
        for purpose, code in report.code.items()
    ]


def _label_names(model: CrossEncoder) -> list[str]:
    """Return the names of a pair's scores from the configuration; numbers if it has no names."""
    count = model.num_labels
    named: Any = getattr(model.config, "id2label", None)
    if isinstance(named, Mapping) and len(named) == count:
        return [str(named.get(number, named.get(str(number), number))) for number in range(count)]
    return [str(number) for number in range(count)]


def _model_class(module: Any) -> str:
    inner = getattr(module, "model", None)
    return type(inner).__name__ if isinstance(inner, nn.Module) and not hasattr(module, "sub_modules") else ""


def _weights(module: nn.Module) -> JSON | None:
    parameters = list(parameters_inside(module))
    if not parameters:
        return None
    return {
        "count": sum(parameter.numel() for parameter in parameters),
        "bytes": sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        "dtypes": sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters}),
        "devices": sorted({str(parameter.device) for parameter in parameters}),
    }


def _names(module: Any, attribute: str) -> list[str] | None:
    """Return the features that a module declares under ``attribute``; None if it declares none."""
    try:
        declared = getattr(module, attribute, None)
        return None if declared is None else sorted(map(str, declared))
    except Exception:  # code of the model may raise anything; the page shows the rest
        return None


def _settings(module: Any) -> dict[str, str]:
    """Return the settings that a module was built with, each shortened to one line."""
    try:
        settings = module.get_config_dict()
        return {str(key): shortened(_text_of(value), _LONGEST_SETTING) for key, value in settings.items()}
    except Exception:  # not every class has settings, and code of the model may raise anything
        return {}


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
