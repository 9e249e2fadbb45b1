"""Opens what a command scores: a file, stdin, and texts on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain

import typer

from pairchain_cli.rows.reading import is_terminal_input, looks_like_file, open_rows
from pairchain_cli.rows.rows import STREAM, Layout, Row, Rows


@contextmanager
def open_pairs(file: str | None, pair: tuple[str, str] | None, layout: Layout) -> Iterator[Rows]:
    """Yield the pairs in a file or on stdin, or the one pair on the command line.

    Raises:
        typer.BadParameter: There is none, or both a file and a pair.
    """
    if pair is not None:
        if file is not None:
            raise typer.BadParameter("give either FILE or --pair.", param_hint="FILE")
        row = Row(dict(zip(layout.needed, pair, strict=True)), "--pair", 1)
        yield Rows("--pair", iter([row]), columns=layout.needed)
        return
    path = file or STREAM
    if is_terminal_input(path):
        raise typer.BadParameter("no pairs: name a file, pipe one in, or add --pair.", param_hint="FILE")
    with open_rows(path, layout) as rows:
        yield rows


@contextmanager
def open_documents(documents: Sequence[str] | None, layout: Layout) -> Iterator[Rows]:
    """Yield documents in the order given: a text is one row, a file may have many, and stdin is read if there is none.

    Raises:
        typer.BadParameter: Stdin is a terminal.
    """
    (column,) = layout.needed
    opened: list[Rows] = []
    with ExitStack() as stack:
        for number, document in enumerate(documents or [STREAM], 1):
            if is_terminal_input(document):
                raise typer.BadParameter("no documents: name them, or a file, or pipe one in.", param_hint="DOC")
            if document == STREAM or looks_like_file(document):
                opened.append(stack.enter_context(open_rows(document, layout)))
            else:
                row = Row({column: document}, "the documents", number, unit="number")
                opened.append(Rows("the documents", iter([row]), columns=(column,)))
        yield opened[0] if len(opened) == 1 else _joined(opened)


def _joined(opened: Sequence[Rows]) -> Rows:
    sizes = [rows.size for rows in opened]
    return Rows(
        "the documents",
        chain.from_iterable(rows.rows for rows in opened),
        size=None if None in sizes else sum(size or 0 for size in sizes),
        position=lambda: sum(rows.position() for rows in opened),
    )
