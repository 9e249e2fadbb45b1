"""Runs of search: reads, reranks and writes them, in the formats that people have. Importing it does not import torch.

A *run* has the documents that a search found for each query, with their scores. Its file is that of TREC (``query Q0
document rank score tag``), that of MS MARCO (``query document rank``), or of JSON objects. Texts are tab-separated, as
in MS MARCO, or JSON objects, as in BEIR. A file whose name ends in ``.gz`` is decompressed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pairchain.errors import InputError, warn
from pairchain.files.staging import write_aside
from pairchain.retrieval.candidates import Candidate, Candidates, opened_candidates
from pairchain.retrieval.folders import file_in
from pairchain.retrieval.judgements import read_judgements
from pairchain.retrieval.order import checked_tag, in_trec_order, run_lines, without_ties
from pairchain.retrieval.runs import Skipping, opened_run, stopping
from pairchain.retrieval.texts import opened_texts, read_texts

if TYPE_CHECKING:
    from pairchain.cross_encoder import CrossEncoder

__all__ = [
    "Candidate",
    "Candidates",
    "Skipping",
    "checked_tag",
    "file_in",
    "in_trec_order",
    "is_run",
    "opened_candidates",
    "opened_run",
    "opened_texts",
    "read_judgements",
    "read_run",
    "read_texts",
    "rerank_run",
    "run_lines",
    "stopping",
    "without_ties",
    "write_run",
]

# Pairs that are read and scored together, and the letters of their texts; a query's are never split.
_MOST_PAIRS = 4096
_MOST_LETTERS = 2**24
# Takes a query and its documents with their scores.
_Write = Callable[[str, Iterable[tuple[str, float]]], None]
# Reasons that a warning names.
_MOST_REASONS = 5


def is_run(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a run of TREC, by its name: ``.trec`` or ``.run``, and perhaps ``.gz``."""
    return os.fspath(path).lower().removesuffix(".gz").endswith((".trec", ".run"))


def read_run(path: str | os.PathLike[str], *, skipping: Skipping = stopping) -> dict[str, dict[str, float]]:
    """Return a whole run: for each query, its documents and their scores, best first as trec_eval orders them.

    Args:
        path: The file.
        skipping: Decides about a line that cannot be used: raises the error that it is given, or returns.

    Raises:
        PairchainError: The file cannot be read, a line has another form, or names a document twice for its query.
    """
    with opened_run(os.fspath(path), skipping) as run:
        return {name: {one.document_id: one.score for one in run.results(name)} for name in run.queries}


def write_run(run: Mapping[str, Mapping[str, float]], path: str | os.PathLike[str], *, tag: str = "pairchain") -> None:
    """Write a run in TREC's format; the file is created only once complete.

    Documents are in the order in which trec_eval reads them: by score, and of equal scores the greater id first.

    Raises:
        PairchainError: The file cannot be written, or an id contains a space.
    """
    with _writing(path, tag) as write:
        for query_id, scores in run.items():
            write(query_id, scores.items())


def rerank_run(
    model: CrossEncoder | str | os.PathLike[str],
    run: Any,
    queries: Any = None,
    documents: Any = None,
    *,
    top_k: int | None = 100,
    output: str | os.PathLike[str] | None = None,
    tag: str = "pairchain",
    on_error: Literal["stop", "skip"] = "stop",
    titles: bool = True,
    show_progress_bar: bool | None = None,
    **predict_kwargs: Any,
) -> dict[str, dict[str, float]]:
    """Score the best documents of each query of a run, and return the new run.

    Files may be larger than memory: of the documents, only the places of those that the run names are held, and the
    texts of a few queries at a time. Of a compressed file, the lines that are needed are copied to a temporary file.

    Args:
        model: A model, or the name of one for `pairchain.CrossEncoder`.
        run: A file; ``{query: {document: score}}``, as pytrec_eval and ranx have it; ``{query: [document, …]}``, the
            best first; a frame with the columns query_id (or qid), doc_id (or docno) and score; or rows with such
            attributes, as ir_measures has them.
        queries: Texts of queries: a file, a folder as BEIR lays it out, ``{id: text}``, or a frame. Not needed if the
            run is a frame with the column query.
        documents: Texts of documents, likewise; ``{id: {"title": …, "text": …}}`` too. Not needed if the run is a frame
            with the column document or text.
        top_k: Most documents to score for each query, the best of the run; the others are left out. None for all.
        output: A file to write in TREC's format, created only once complete; None to return the run.
        tag: The name of the new run in that file.
        on_error: ``"stop"`` to fail on a line that cannot be used, a text that is missing, and a pair that cannot be
            scored; ``"skip"`` to leave them out, with a warning.
        titles: Whether a document begins with its title, if it has one.
        show_progress_bar: None shows one on a terminal when the work takes longer than a second.
        **predict_kwargs: As for ``predict``.

    Returns:
        For each query, its documents and their scores, best first as trec_eval orders them; empty with ``output``.

    Raises:
        InputError: An argument is invalid, or the model gives a pair several scores.
        PairchainError: A file cannot be read or written, lacks a text, or as for ``predict``.
    """
    # torch is slow to import, and commands import this file for their help
    from pairchain.cross_encoder import CrossEncoder
    from pairchain.engine.results import refuse_several_labels
    from pairchain.engine.scoring import Progress
    from pairchain.inputs.arguments import checked_count
    from pairchain.retrieval import frames

    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error must be 'stop' or 'skip', not {on_error!r}.", argument="on_error")
    top_k = None if top_k is None else checked_count(top_k, "top_k")
    given_run = frames.run_of(run)
    given_queries = _given(frames, queries, run, "query", titles)
    given_documents = _given(frames, documents, run, "document", titles)
    if not isinstance(model, CrossEncoder):
        model = CrossEncoder(model)
    refuse_several_labels(model.declared_num_labels())
    reasons: list[str] = []
    skipping = stopping if on_error == "stop" else lambda error: reasons.append(error.what)
    new: dict[str, dict[str, float]] = {}

    def keep(query_id: str, scored: Iterable[tuple[str, float]]) -> None:
        new[query_id] = dict(in_trec_order(scored))

    with (
        opened_candidates(
            given_run, given_queries, given_documents, top_k=top_k, keeps_title=titles, skipping=skipping
        ) as candidates,
        Progress(candidates.total, show_progress_bar) as progress,
        _writing(output, tag, keep) as write,
    ):
        for some in _together(candidates):
            scored = _scored(model, some, reasons, predict_kwargs, skips=on_error == "skip")
            for query_id, scores in scored.items():
                write(query_id, scores)
            progress.add(len(some), 0)
    if reasons:
        shown = "; ".join(reasons[:_MOST_REASONS])
        warn(f"left out what cannot be used, {len(reasons):,} in all: {shown}{_and_more(reasons)}")
    return new


@contextmanager
def _writing(path: str | os.PathLike[str] | None, tag: str, keep: _Write | None = None) -> Iterator[_Write]:
    """Yield a function that writes the documents of a query to a file; ``keep`` if there is no file."""
    if path is None:
        assert keep is not None
        yield keep
        return
    checked_tag(tag)
    if os.fspath(path).lower().endswith(".gz"):
        raise InputError("a compressed run cannot be written.", next_step="compress it afterwards.", argument="output")
    with write_aside(Path(path)) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        yield lambda query_id, scored: file.writelines(run_lines(query_id, scored, tag))


def _given(frames: Any, texts: Any, run: Any, noun: str, titles: bool) -> Any:
    """Return the texts of queries or documents, or those beside the run."""
    part = {"query": "queries", "document": "documents"}[noun]
    if texts is None:
        if (beside := frames.texts_beside(run, noun, keeps_title=titles)) is None:
            raise InputError(f"the run names each {noun} by its id alone.", next_step=f"pass {part}=…", argument=part)
        return beside
    found = frames.texts_of(texts, noun, keeps_title=titles)
    return file_in(found, part) if isinstance(found, str) else found


def _together(candidates: Iterable[Sequence[Candidate]]) -> Iterator[list[Candidate]]:
    """Yield the candidates of some queries at a time: enough to sort by length, and few enough to hold."""
    some: list[Candidate] = []
    letters = 0
    for of_query in candidates:
        some += of_query
        letters += sum(len(one.document) for one in of_query if isinstance(one.document, str))
        if len(some) >= _MOST_PAIRS or letters >= _MOST_LETTERS:
            yield some
            some, letters = [], 0
    if some:
        yield some


def _scored(
    model: CrossEncoder, some: Sequence[Candidate], reasons: list[str], options: Mapping[str, Any], *, skips: bool
) -> dict[str, list[tuple[str, float]]]:
    """Return for each query its documents and their scores; add why others have none to ``reasons``."""
    import numpy as np

    from pairchain.engine.apart import scored_apart
    from pairchain.engine.results import refuse_several_labels

    pairs = [(one.query, one.document) for one in some]
    options = {**options, "show_progress_bar": False, "convert_to_numpy": True, "convert_to_tensor": False}
    if not skips:
        scores: Any = _naming(some, model, pairs, options)
    else:
        faults: list[str | None] = [None if one.fault is None else one.fault.what for one in some]
        lenient = {**options, "allow_non_finite": True}
        scores = scored_apart(lambda few: model.predict(few, **lenient), pairs, faults, allows_all=False)
        reasons += [
            f"{one.document_id!r} of the query {one.query_id!r}: {fault}" if one.fault is None else str(fault)
            for one, fault in zip(some, faults, strict=True)
            if fault is not None
        ]
    new: dict[str, list[tuple[str, float]]] = {}
    for one, score in zip(some, scores, strict=True):
        if score is not None:
            refuse_several_labels(1 if np.ndim(score) == 0 else len(score))
            new.setdefault(one.query_id, []).append((one.document_id, float(score)))
    return new


def _naming(some: Sequence[Candidate], model: CrossEncoder, pairs: list[Any], options: Mapping[str, Any]) -> Any:
    """Return the scores of pairs; an error about one of them names its query and document."""
    for one in some:
        if one.fault is not None:
            raise one.fault
    try:
        return model.predict(pairs, **options)
    except InputError as error:
        if error.index is not None:
            one = some[error.index]
            error.add_note(f"This is the document {one.document_id!r} of the query {one.query_id!r}.")
        raise


def _and_more(reasons: Sequence[str]) -> str:
    return "; …" if len(reasons) > _MOST_REASONS else ""
