"""`pairchain export`: writes a model's graph beside its other files, and tells how far its scores drift."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairchain import registry
from pairchain.authoring import Drift, drift_between, nearest
from pairchain.backends import LIBRARY, load_backend
from pairchain.errors import InputError, PairchainError
from pairchain_cli.authoring import ModelOptions, expand_options, load_model, note, read_pairs, write

if TYPE_CHECKING:
    from pairchain import CrossEncoder

# Below this correlation with the exact scores, documents change places that readers would notice.
_LEAST_CORRELATION = 0.99
_MOST_DIFFERENCE = 1e-4


@expand_options
def export(
    options: ModelOptions,
    to: Annotated[str, typer.Option("--to", metavar="BACKEND", help="Backend to export for: onnx or openvino.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="New folder for the whole model and the export. Default: beside the model's files in MODEL.",
            show_default=False,
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Convert the weights to int8, for this kind of processor.")
    ] = False,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="Pairs to measure the drift on, with columns query and document. Default: built-in pairs.",
            show_default=False,
        ),
    ] = None,
    least: Annotated[
        float,
        typer.Option("--least-correlation", help="Rank correlation below which nothing is written.", min=-1, max=1),
    ] = _LEAST_CORRELATION,
    force: Annotated[bool, typer.Option("--force", help="Write the export even if its scores drift too far.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Export a model for another runtime.

    The file is written where publishers put it, such as onnx/model.onnx, and `--backend` finds it there. Before it is
    written, its scores are compared with the model's.
    """
    _check_target(to, int8=int8)
    rows = read_pairs(pairs)
    exact = load_model(replace(options, backend=LIBRARY, file_name=None))
    folder = _folder_of(options, exact, output)
    is_done = False
    try:
        home = _home(folder)
        with tempfile.TemporaryDirectory(prefix=".exporting-", dir=home) as aside:
            made = _export(options, to, Path(aside), int8=int8)
            inside = made.relative_to(aside)
            drift = _drift(options, exact, to, folder, f"{Path(aside).name}/{inside.as_posix()}", rows)
            bad = _why_bad(drift, least, int8=int8)
            if is_done := not bad or force:
                _put_in_place(made, home / inside)
    finally:
        if output is not None and not is_done:
            # it was new, and holds nothing but a copy
            shutil.rmtree(output, ignore_errors=True)
    target = home / inside
    written = str(target) if is_done else None
    told = json.dumps({"file": written, **drift.to_json()}, indent=2) if as_json else str(drift)
    for line in told.splitlines():
        write(line)
    if not is_done:
        raise PairchainError(
            f"nothing was written: {bad}.",
            next_step="measure on your own pairs with --pairs, or add --force to write it anyway.",
        )
    if bad:
        note(f"written in spite of its drift, because of --force: {bad}")
    note(f"wrote {target}")


def _check_target(to: str, *, int8: bool) -> None:
    """Refuse a backend that writes no files, before anything is loaded."""
    able = [name for name in registry.backends.names() if name != "torch" and _exports(name)]
    if to not in able:
        raise InputError(
            f"no installed backend {to!r} exports models{nearest(to, able)}.",
            next_step=f"choose from {', '.join(able)}."
            if able
            else "pip install pairchain-onnx or pairchain-openvino.",
        )
    if int8:
        # it says why it cannot
        backend: Any = load_backend(to)
        backend.int8_name()


def _exports(name: str) -> bool:
    try:
        return hasattr(load_backend(name), "export")
    except PairchainError:
        return False


def _folder_of(options: ModelOptions, exact: CrossEncoder, output: Path | None) -> Path:
    """Return the folder of the model that gets the export; with --output, a copy of the model is saved there."""
    source = exact.source
    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"{output} exists and is not empty.", next_step="name a new folder.")
        exact.save_pretrained(str(output))
        return output
    if source is None or not source.is_local:
        raise InputError(
            f"{options.model} is a repository, so nothing can be written beside its files.",
            next_step="add --output FOLDER to save the model and the export there.",
        )
    return Path(source.name) / source.subfolder


def _home(folder: Path) -> Path:
    """Return the folder of the model's first module."""
    if not (folder / "modules.json").is_file():
        return folder
    entries = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    path: str = entries[0]["path"]
    return folder / path


def _export(options: ModelOptions, to: str, aside: Path, *, int8: bool) -> Path:
    """Write a new export in the folder ``aside``, and return its path."""
    model = load_model(replace(options, backend=to, file_name=None), export=True)
    backend: Any = load_backend(to)
    first: Any = model[0]
    if not hasattr(first, "execution"):
        raise InputError(
            f"the first module of the model is a {type(first).__name__}, and only a Transformer can be exported."
        )
    written: Path = backend.export(first.execution, aside, int8=int8)
    return written


def _drift(
    options: ModelOptions, exact: CrossEncoder, to: str, folder: Path, file_name: str, rows: Sequence[Any]
) -> Drift:
    """Return the drift of the scores of the file ``file_name`` of the model in ``folder`` from those of ``exact``."""
    from torch import nn

    # a copy has no other revisions or subfolders, and files beside the locked ones
    place = replace(options, model=os.fspath(folder), revision=None, subfolder="", lock=None)
    other = load_model(replace(place, backend=to, file_name=file_name))
    raw = nn.Identity()
    return drift_between(
        rows, lambda: exact.predict(rows, activation_fn=raw), lambda: other.predict(rows, activation_fn=raw)
    )


def _why_bad(drift: Drift, least: float, *, int8: bool) -> str:
    """Return why the drift is too large, as a clause; empty if it is not."""
    if not int8:
        most = _MOST_DIFFERENCE * max(1.0, drift.spread)
        return "" if drift.largest <= most else f"scores differ by {drift.largest:.2g}, more than {most:.2g}"
    if drift.rank_correlation >= least:
        return ""
    return f"the rank correlation {drift.rank_correlation:.4f} is below {least:g}"


def _put_in_place(made: Path, target: Path) -> None:
    """Move the files that were made for ``target`` to its folder, the graph last."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in sorted(made.parent.iterdir(), key=lambda file: file == made):
        file.replace(target.parent / file.name)
