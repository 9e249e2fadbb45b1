"""What the files of the format's own small modules tell: a row each, so that none of them is imported to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairchain.errors import ChainError, FormatError, MissingFileError, PairchainError, PickleRefusedError
from pairchain.facts import SCORES, Facts, facts_of_chain
from pairchain.files.source import Source
from pairchain.format.activation_table import is_known
from pairchain.format.headers import SAFETENSORS_FILE

PICKLE_FILE = "pytorch_model.bin"
ROUTER_CONFIGS = ("router_config.json", "asym_config.json")


@dataclass(frozen=True)
class _Form:
    """How a module is saved.

    Attributes:
        needs: Keys that its ``config.json`` must hold; an older name after a slash.
        reads: The feature it reads, unless ``module_input_name`` says another.
        writes: The feature it writes, unless ``module_output_name`` says another; empty for the one it reads.
        has_weights: Whether it has weights of its own.
    """

    needs: tuple[str, ...] = ()
    reads: str = "sentence_embedding"
    writes: str = ""
    has_weights: bool = False


_FORMS = {
    "Dense": _Form(needs=("in_features", "out_features"), has_weights=True),
    "LayerNorm": _Form(needs=("dimension",), has_weights=True),
    "LogitScore": _Form(needs=("true_token_id",), reads="causal_logits", writes=SCORES),
    "Normalize": _Form(),
    "Pooling": _Form(
        needs=("embedding_dimension/word_embedding_dimension",), reads="token_embeddings", writes="sentence_embedding"
    ),
}


def standard_facts(name: str, home: Source, config: Mapping[str, Any]) -> Facts | None:
    """Return what the files of a standard module tell, or None if it is none of the small ones.

    Args:
        name: Its short name, such as ``Dense``.
        home: Its folder.
        config: Its ``config.json``, empty if there is none.
    """
    if (form := _FORMS.get(name)) is None:
        return None
    reads = _named(config, "module_input_name") or form.reads
    writes = form.writes or _named(config, "module_output_name") or reads
    faults = [*_missing_keys(name, form, home, config), *(_missing_weights(home) if form.has_weights else ())]
    activation = config.get("activation_function") if name == "Dense" else None
    if activation is not None and not (isinstance(activation, str) and is_known(activation)):
        faults.append(FormatError(f"activation_function of {home} is {activation!r}, which is no torch activation."))
    size = config.get("out_features") if name == "Dense" else 1
    labels = size if writes == SCORES and isinstance(size, int) else None
    return Facts(frozenset({reads}), frozenset({writes}), labels, faults=faults)


def _named(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) else ""


def _missing_keys(name: str, form: _Form, home: Source, config: Mapping[str, Any]) -> Sequence[PairchainError]:
    absent = [need for need in form.needs if not any(key in config for key in need.split("/"))]
    if not absent:
        return []
    shown = ", ".join(need.partition("/")[0] for need in absent)
    error = FormatError if config else MissingFileError
    return [error(f"{name} needs {shown}, which its config.json does not hold.", where=str(home))]


def _missing_weights(home: Source) -> Sequence[PairchainError]:
    if home.has(SAFETENSORS_FILE):
        return []
    if home.has(PICKLE_FILE):
        return [pickle_refused(home)]
    return [MissingFileError(f"no weights: neither {SAFETENSORS_FILE} nor {PICKLE_FILE} is there.", where=str(home))]


def pickle_refused(home: Source) -> PickleRefusedError:
    """Return the refusal of the weights in the folder ``home``, which are a pickle."""
    return PickleRefusedError(
        f"the weights are a pickle, {home.path_of(PICKLE_FILE)}, and reading a pickle can run code.",
        next_step="pass allow_pickle=True to read it through torch's restricted loader.",
    )


def router_facts(home: Source, config: Mapping[str, Any], modules: Mapping[str, Facts]) -> Facts:
    """Return what the files of a Router tell, given what those of the modules in it do, by their folders."""
    if not config:
        return Facts(faults=[MissingFileError(f"{ROUTER_CONFIGS[0]} is missing.", where=str(home))])
    shown = f"the Router in {home}"
    for key in ("types", "structure", "parameters"):
        if not isinstance(config.get(key), dict):
            return Facts(faults=[FormatError(f"{shown}: {key!r} of its configuration is no object.")])
    routes: dict[str, Facts] = {}
    faults: list[PairchainError] = []
    for route, folders in config["structure"].items():
        if not isinstance(folders, list) or not folders or not all(str(folder) in modules for folder in folders):
            faults.append(FormatError(f"{shown}: the route {route!r} is {folders!r}, which are no modules of it."))
        else:
            routes[route] = facts_of_chain((f"module {folder}", modules[str(folder)]) for folder in folders)
    default = config["parameters"].get("default_route")
    if not routes and not faults:
        faults.append(FormatError(f"{shown} has no routes."))
    if default is not None and routes and not faults and str(default) not in routes:
        faults.append(FormatError(f"{shown}: the default route {default!r} is none of {', '.join(routes)}."))
    labels = {facts.labels for facts in routes.values()}
    if len(labels - {None}) > 1:
        faults.append(ChainError(f"the routes of {shown} give a pair different numbers of scores."))
    written = [facts.writes for facts in routes.values()]
    known = [names for names in written if names is not None]
    return Facts(
        frozenset().union(*(facts.reads or () for facts in routes.values())),
        frozenset.intersection(*known) if known and len(known) == len(written) else None,
        labels.pop() if len(labels) == 1 else None,
        "; ".join(f"{route} → {' → '.join(map(str, config['structure'][route]))}" for route in routes)
        + (f"; default {default}" if isinstance(default, str) else ""),
        faults=faults,
    )
