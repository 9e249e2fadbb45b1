"""Exports the library's model to a graph, checks that it computes the same, and caches it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants

from pairchain import Source, Untrained
from pairchain.authoring import note
from pairchain.backends import LIBRARY, Checkpoint, load_backend
from pairchain.errors import ChainError, PairchainError
from pairchain_graph.content import Content
from pairchain_graph.execution import output_named
from pairchain_graph.files import Layout
from pairchain_graph.runtime import Graph, Runtime
from pairchain_graph.tracing import Traced

# How far the graph's outputs may be from the model's, as a share of the largest, but at least of one.
_TOLERANCE = 1e-4

# Counts changes of how models are exported, so that no earlier export is used.
_FORM = 3

# Files that decide what an export computes.
_DECIDING = (".json", ".safetensors", ".bin", ".py")

# Attention as the library writes it out; its masks are large numbers and not infinite.
_PLAIN = "eager"
# Names in configurations for how far a token sees.
_WINDOWS = ("sliding_window", "local_attention", "attention_window", "window_size")

logger = logging.getLogger(__name__)


def exported(
    checkpoint: Checkpoint, config: Any, field: str, layout: Layout, runtime: Runtime
) -> tuple[Content, Untrained | None]:
    """Return a graph of the model, from the cache if it was exported before, and its weights that are still random.

    Args:
        checkpoint: The checkpoint.
        config: The library's configuration.
        field: The field of the model's output that the graph computes.
        layout: The runtime's files.
        runtime: The runtime.

    Raises:
        ChainError: The model cannot be exported, or the graph computes something else.
        PairchainError: The model cannot be loaded.
    """
    if (content := exported_before(checkpoint, layout, runtime)) is not None:
        return content, None
    folder = _folder(checkpoint, layout, runtime)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=folder.parent) as aside:
        random = _export(checkpoint, config, field, Path(aside) / layout.plain, runtime)
        if random is not None:
            # the next load draws other numbers, so nothing of it may be kept
            content = runtime.content(Source(aside), layout.plain)
            return replace(content, places={}), random
        made = Path(aside) / "made"
        made.mkdir()
        for file in list(Path(aside).iterdir()):
            if file != made:
                file.rename(made / file.name)
        # another process may have exported the same meanwhile
        with contextlib.suppress(OSError):
            made.rename(folder)
    return runtime.content(Source(str(folder)), layout.plain), None


def exported_before(checkpoint: Checkpoint, layout: Layout, runtime: Runtime) -> Content | None:
    """Return the graph that an earlier load exported; None if there is none, or a damaged one."""
    folder = _folder(checkpoint, layout, runtime)
    place = Source(str(folder))
    if place.has(layout.plain):
        try:
            return runtime.content(place, layout.plain)
        except PairchainError as error:
            logger.warning("the export in %s is damaged and is made again: %s", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
    return None


def _export(checkpoint: Checkpoint, config: Any, field: str, path: Path, runtime: Runtime) -> Untrained | None:
    """Write the graph to ``path``, and return the weights of the model that are still random."""
    logger.info("exporting %s to %s", checkpoint.source, path.suffix.lstrip("."))
    note("exported from the library's model")
    # what the caller asked of the runtime means nothing to the library
    model, execution = load_backend(LIBRARY).load(replace(checkpoint, model_kwargs={}), config)
    model = model.float().eval()
    pads_left = checkpoint.task == "text-generation"
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if execution.takes_types(model) else [])]
    failure: Exception | None = None
    for attention in _attentions(model, runtime):
        _set_attention(model, attention)
        traced = Traced(model, names, field, pads_left=pads_left)
        try:
            if len(names) > 2:
                _refuse_to_guess_types(Traced(model, names[:2], field, pads_left=pads_left), checkpoint.source)
            with torch.no_grad(), _quiet():
                runtime.export(traced, path)
            _compare(traced, runtime.open(runtime.content(Source(str(path.parent)), path.name), {}))
            return execution.untrained(model)
        except PairchainError as error:
            if not isinstance(error, ChainError):
                raise
            failure = failure or error
        except Exception as error:
            failure = failure or error
        for file in path.parent.iterdir():
            file.unlink()
    assert failure is not None
    if isinstance(failure, ChainError):
        raise failure
    raise ChainError(
        f"the model cannot be exported: {type(failure).__name__}: {(str(failure).splitlines() or [''])[0][:300]}",
        where=str(checkpoint.source),
        next_step=f"use backend={LIBRARY!r}.",
    ) from failure


def _refuse_to_guess_types(traced: Traced, source: Source) -> None:
    """Refuse a model that computes something else without token types than with types of 0, as GPT-2 does.

    A graph takes types always or never, and which of the two is right depends on the tokenizer.

    Args:
        traced: The model without token types.
        source: The place of the model.

    Raises:
        ChainError: It is such a model.
    """
    ids, mask = traced.example()
    with torch.no_grad():
        without = traced(ids, mask)
        zeros = traced(ids, mask, token_type_ids=torch.zeros_like(ids))
    if not torch.allclose(without, zeros, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ChainError(
            "the model cannot be exported: it computes something else without token types than with types of 0, and a "
            "graph cannot tell the two apart.",
            where=str(source),
            next_step=f"use backend={LIBRARY!r}.",
        )


def _compare(traced: Traced, graph: Graph) -> None:
    """Check that the graph computes what the model computes.

    Raises:
        ChainError: It does not.
    """
    output = output_named(graph, [traced.field])
    for inputs in traced.comparisons():
        with torch.no_grad():
            expected = traced(*inputs).float().numpy()
        given = {name: value.numpy() for name, value in zip(traced.names, inputs, strict=True)}
        found = graph.run({name: given[name].astype(port.dtype) for name, port in graph.inputs.items()}, output)
        if found.shape != expected.shape:
            raise _different(f"its output has the shape {found.shape}, not {expected.shape}")
        if traced.has_positions:
            # no module reads what a model writes for padding
            real = given["attention_mask"].astype(bool)
            found, expected = found[real], expected[real]
        apart = float(np.abs(found - expected).max())
        if not apart <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise _different(f"outputs of the shape {expected.shape} differ by {apart:.1e}")


def _different(how: str) -> ChainError:
    return ChainError(
        f"the exported graph does not compute what the model computes: {how}.", next_step=f"use backend={LIBRARY!r}."
    )


def _attentions(model: Any, runtime: Runtime) -> list[str]:
    """Return the implementations of attention to export, best first; an empty name for the only one."""
    own = getattr(model.config, "_attn_implementation", None) or ""
    if own in ("", _PLAIN) or not _set_attention(model, _PLAIN):
        return [own]
    if runtime.takes_hidden_rows:
        return [own, _PLAIN]
    text = model.config.get_text_config()
    has_window = any(getattr(text, name, None) for name in _WINDOWS)
    return [_PLAIN, own] if has_window else [own, _PLAIN]


def _set_attention(model: Any, name: str) -> bool:
    if getattr(model.config, "_attn_implementation", name) == name:
        return True
    try:
        model.set_attn_implementation(name)
    except (AttributeError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the warnings of tracing away; the comparison finds what they warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _folder(checkpoint: Checkpoint, layout: Layout, runtime: Runtime) -> Path:
    """Return the folder for the export: its name is a digest of everything that decides the graph."""
    key = f"folder of the {layout.folder} export"
    if (known := checkpoint.kept.get(key)) is not None:
        return Path(known)
    own = {"torch", "transformers", "pairchain-graph", f"pairchain-{layout.folder}", "pairchain-transformer"}
    deciding = {
        "model": _identity(checkpoint.source),
        "task": checkpoint.task,
        "config": checkpoint.config,
        "trusted": checkpoint.trust_remote_code,
        "form": _FORM,
        "versions": {**{name: metadata.version(name) for name in sorted(own)}, **runtime.versions},
    }
    text = json.dumps(deciding, sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    # a digest of large files takes a while
    found: Path = checkpoint.kept.setdefault(key, exports_folder() / layout.folder / digest[:32])
    return found


def exports_folder() -> Path:
    """Return the folder of all exports, beside the cache of the Hub library."""
    return Path(constants.HF_HOME) / "pairchain" / "exports"


def _identity(source: Source) -> Any:
    """Return the repository and commit, or the hashes of the files that decide what the model computes."""
    if source.commit is not None:
        return [source.name, source.commit, source.subfolder]
    found: Mapping[str, str] = {
        path: _digest(local)
        for path in sorted(source.files())
        if path.endswith(_DECIDING) and "/" not in path and (local := source.file(path)) is not None
    }
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_files(content: Content, path: Path) -> None:
    """Write the graph of ``content`` to ``path``, and its weights beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, data in content.weights.items():
        (path.parent / name).write_bytes(data)
    path.write_bytes(content.main)
