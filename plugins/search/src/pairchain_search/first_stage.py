"""Makes a first run by BM25, with the library bm25s, if you have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pairchain.errors import MissingPackageError, PairchainError


def check_bm25() -> None:
    """Raise a MissingPackageError if bm25s is not installed."""
    try:
        import bm25s  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "--bm25 needs bm25s, which is not installed.", next_step="pip install 'pairchain-search[bm25]'"
        ) from error


def bm25_run(
    queries: Mapping[str, str], documents: Iterable[tuple[str, str]], *, top_k: int
) -> dict[str, dict[str, float]]:
    """Return the best documents of each query by BM25, with bm25s' defaults and English stop words.

    Args:
        queries: Texts by id.
        documents: Ids and texts; all of them are held in memory.
        top_k: Most documents for each query.

    Raises:
        PairchainError: There are no documents or no words in them.
    """
    import bm25s

    pairs = list(documents)
    tokens = bm25s.tokenize([text for _, text in pairs], stopwords="en", show_progress=False)
    if not any(tokens.ids):
        raise PairchainError("there are no words in the documents.", next_step="check --documents.")
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    run: dict[str, dict[str, float]] = {}
    for query_id, text in queries.items():
        asked = bm25s.tokenize([text], stopwords="en", return_ids=False, show_progress=False)
        found, scores = index.retrieve(asked, k=min(top_k, len(pairs)), show_progress=False)
        run[query_id] = {pairs[place][0]: float(one) for place, one in zip(found[0], scores[0], strict=True)}
    return run
