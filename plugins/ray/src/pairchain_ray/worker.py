"""What each worker of the cluster runs: it scores blocks of rows with one model, loaded at the first block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairchain import ScoreColumns
from pairchain.errors import InputError, PairchainError


class WorkerFailedError(Exception):
    """Why a worker cannot continue. Errors with arguments of other kinds may not survive the way to the driver.

    Args:
        what, where, next_step: As for `PairchainError`.
    """

    def __init__(self, *texts: str) -> None:
        # Ray adds text of its own to the first argument; an exception is copied by its arguments
        super().__init__(*(texts if len(texts) == 4 else ("a worker failed", *texts)))

    @property
    def texts(self) -> tuple[str, str, str]:
        """What is wrong, where, and what to do next."""
        _, what, where, next_step = self.args
        return what, where, next_step


class Worker:
    """Scores blocks.

    Args:
        scorer: The columns, the model and its options.
        media: Keyword arguments of ``predict`` to pass on if the model takes them.
        id_columns: The columns that name a row in errors, if there are any.
        counter: The handle of a `progress.Counter`, or None.
    """

    def __init__(
        self, scorer: ScoreColumns, media: Mapping[str, bool], id_columns: Sequence[str], counter: Any
    ) -> None:
        self._scorer = scorer
        self._media = media
        self._id_columns = id_columns
        self._counter = counter
        self._is_ready = False

    def __call__(self, block: Any) -> Any:
        """Return a table of pyarrow with the scores of its rows.

        Raises:
            WorkerFailedError: The model cannot be loaded, or a row cannot be scored.
        """
        try:
            if not self._is_ready:
                self._prepare()
            scored = self._scorer(block)
        except PairchainError as error:
            if isinstance(error, InputError) and error.index is not None:
                step = "repair the row, leave it out, or add --on-error skip."
                raise WorkerFailedError(f"{self._place(block, error)}{error.fault}", "", step) from None
            raise WorkerFailedError(error.what, error.where, error.next_step) from None
        if self._counter is not None:
            self._counter.add.remote(block.num_rows)
        return scored

    def _prepare(self) -> None:
        taken = self._scorer.model.keyword_names()
        self._scorer.predict_kwargs.update({name: on for name, on in self._media.items() if name in taken})
        self._is_ready = True

    def _place(self, block: Any, error: InputError) -> str:
        if not self._id_columns:
            return "a row: "
        named = " and ".join(f"{name} is {block[name][error.index].as_py()!r}" for name in self._id_columns)
        return f"the row whose {named}: "
