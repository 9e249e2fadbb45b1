"""The runs that `pairchain rank --on ray` reads and writes; no cluster is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairchain.errors import PairchainError
from pairchain_ray.trec import read_columns, write_rows


def test_runs_are_columns_and_rows_are_a_run(tmp_path: Path) -> None:
    (tmp_path / "a.trec").write_text("q2 Q0 x 1 1 t\nq2 Q0 y 2 2 t\n")
    (tmp_path / "b.trec").write_text("q1\tQ0\tx\t1\t0.5\tt\n")
    files = [str(tmp_path / "a.trec"), str(tmp_path / "b.trec")]
    assert read_columns(files) == (["q2", "q2", "q1"], ["y", "x", "x"])
    write_rows([("q2", "x", 1, 0.5), ("q2", "y", 2, 0.5), ("q2", "z", 3, None), ("q1", "x", 1, -1.0)], files[0])
    # of equal scores, the greater id ranks first
    assert Path(files[0]).read_text() == (
        "q1 Q0 x 1 -1.0 pairchain\nq2 Q0 y 1 0.5 pairchain\nq2 Q0 x 2 0.5 pairchain\n"
    )
    with pytest.raises(PairchainError, match="twice"):
        read_columns([files[1], files[1]])
