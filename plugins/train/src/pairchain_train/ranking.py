"""Rankings to evaluate on: the documents of each query, and which are relevant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairchain.errors import InputError, MissingPackageError
from pairchain.runs import in_trec_order, read_judgements, read_run, without_ties
from pairchain_train.data.examples import as_lists, examples_of
from pairchain_train.data.runs import texts_of

if TYPE_CHECKING:
    from pairchain import CrossEncoder

METRICS = ("nDCG@10", "RR@10", "AP")


class Rankings:
    """Queries with documents to rank, and judgements; metrics come from the library ir-measures.

    Args:
        queries: Texts by id.
        documents: For each query, the texts of its documents by id.
        judgements: Grades by document, by query; whole numbers from 0 up.
        metrics: Names as ir-measures writes them.
    """

    def __init__(
        self,
        queries: Mapping[str, Any],
        documents: Mapping[str, Mapping[str, Any]],
        judgements: Mapping[str, Mapping[str, int]],
        metrics: Sequence[str] = METRICS,
    ) -> None:
        asked = [name for name in queries if documents.get(name) and name in judgements]
        if not asked:
            raise InputError(
                "no query has both documents and judgements.", next_step="pass those that belong together."
            )
        self.queries = {name: queries[name] for name in asked}
        self.documents = {name: dict(documents[name]) for name in asked}
        self.judgements = {name: dict(judgements[name]) for name in asked}
        self.metrics = tuple(metrics)

    @classmethod
    def of(cls, rows: Iterable[Any], **options: Any) -> Rankings:
        """Return rankings of examples, or of rows as `examples_of` reads them; labels are grades.

        Raises:
            InputError: A label is not a whole number from 0 up.
        """
        lists = as_lists(examples_of(rows, title="the rankings"))
        grades = {
            f"q{place}": {f"d{number}": _grade(label) for number, label in enumerate(example.labels)}
            for place, example in enumerate(lists)
        }
        documents = {
            f"q{place}": {f"d{number}": document for number, document in enumerate(example.documents)}
            for place, example in enumerate(lists)
        }
        return cls({f"q{place}": example.query for place, example in enumerate(lists)}, documents, grades, **options)

    @classmethod
    def of_files(
        cls, run: Path, judgements: Path, queries: Path, documents: Path, *, depth: int = 100, **options: Any
    ) -> Rankings:
        """Return the first ``depth`` documents of each query of a run; see `pairchain.runs` for the files."""
        grades = read_judgements(str(judgements))
        ranked = {query: [*some][:depth] for query, some in read_run(run).items() if query in grades}
        texts = texts_of(documents, "document", {document for some in ranked.values() for document in some})
        own = {query: {document: texts[document] for document in some} for query, some in ranked.items()}
        return cls(texts_of(queries, "query", ranked), own, grades, **options)

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def pairs(self) -> int:
        """The number of pairs that an evaluation scores."""
        return sum(map(len, self.documents.values()))

    def evaluate(self, model: CrossEncoder) -> dict[str, float]:
        """Return the mean of each metric for the order in which ``model`` ranks the documents.

        A model with random weights is measured too: training begins with one.

        Raises:
            MissingPackageError: The library ir-measures is not installed.
        """
        pairs = [(self.queries[name], text) for name, own in self.documents.items() for text in own.values()]
        scores = iter(model.predict(pairs, show_progress_bar=False, allow_random_head=True).tolist())
        return self.measure({name: {one: next(scores) for one in own} for name, own in self.documents.items()})

    def measure(self, scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """Return the mean of each metric for scores by document, by query."""
        try:
            import ir_measures
        except ModuleNotFoundError as error:
            next_step = "pip install 'pairchain-train[metrics]'"
            raise MissingPackageError("metrics need the library ir-measures.", next_step=next_step) from error
        wanted = {ir_measures.parse_measure(name): name for name in self.metrics}
        # packages break ties in different ways
        strict = {name: without_ties(in_trec_order(own.items())) for name, own in scores.items()}
        found = ir_measures.calc_aggregate(list(wanted), self.judgements, strict)
        return {name: float(found[measure]) for measure, name in wanted.items()}


def _grade(label: Any) -> int:
    if isinstance(label, tuple) or label != int(label) or label < 0:
        raise InputError(
            f"{label!r} is not a grade.", next_step="label documents to rank by whole numbers, 0 for irrelevant ones."
        )
    return int(label)
