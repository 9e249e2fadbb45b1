"""Reads judgements (qrels): which documents are relevant for a query."""

from __future__ import annotations

from pairchain.errors import PairchainError
from pairchain.retrieval.lines import lines_of, opened, refused
from pairchain.retrieval.records import JudgementReader


def read_judgements(path: str) -> dict[str, dict[str, int]]:
    """Return the relevance of each judged document, by query and document.

    Args:
        path: A file as TREC or BEIR writes it, or of JSON objects; see `records.JudgementReader`.

    Raises:
        PairchainError: The file cannot be read, a line has another form, or a document is judged twice for one query.
    """
    judged: dict[str, dict[str, int]] = {}
    reader = JudgementReader(path)
    with opened(path) as file:
        for line in lines_of(file, path):
            if (found := reader.read(line)) is None:
                continue
            documents = judged.setdefault(found.query_id, {})
            if found.document_id in documents:
                raise refused(
                    path,
                    line.number,
                    f"the document {found.document_id!r} is judged twice for the query {found.query_id!r}.",
                    next_step="remove one of the lines.",
                )
            documents[found.document_id] = found.relevance
    if not judged:
        raise PairchainError(f"{path} has no judgements.", next_step="check the file name.")
    return judged
