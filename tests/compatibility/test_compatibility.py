"""Published rerankers by the shape of their files: each loads as the page says, or is refused in these words."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compatibility.rows import ROWS, Row
from pages import DOCS, rows

from pairchain import CrossEncoder, PairchainWarning
from pairchain.backends import AUTO

pytestmark = pytest.mark.slow

PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y yes no")]
PAGE = rows((DOCS / "compatibility.md").read_text(encoding="utf-8"))
NO_ACTIVATION = {"activation_fn": torch.nn.Identity()}


def load(folder: Path, row: Row, **options: Any) -> CrossEncoder:
    """Load the model, and compare the warnings with the row's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return CrossEncoder(folder, device="cpu", **options)
        finally:
            told = [str(one.message) for one in caught if issubclass(one.category, PairchainWarning)]
            assert len(told) <= 1
            assert all(row.warns and re.search(row.warns, text) for text in told)


def names(model: CrossEncoder) -> tuple[str, ...]:
    return tuple(type(module).__name__ for module in model)


@pytest.mark.parametrize("models", ROWS)
def test_it_loads_as_the_page_says_or_is_refused(models: str, tmp_path: Path) -> None:
    row = ROWS[models]
    folder = row.save(tmp_path)
    config = json.loads((folder / "config.json").read_text())

    assert config["architectures"][0] == row.named
    if row.untrusted is not None:
        with pytest.raises(row.untrusted, match=row.untrusted_says):
            load(folder, row).predict(PAIRS)
    if row.error is not None:
        with pytest.raises(row.error, match=re.compile(row.says, re.DOTALL)) as caught:
            load(folder, row, trust_remote_code=True).predict(PAIRS)
        assert caught.value.next_step
    if row.build is not None:
        check_built(row, folder)
    elif row.chain:
        model = load(folder, row, backend=AUTO, trust_remote_code=row.code)
        assert names(model) == row.chain
        assert model[0].backend == row.backend
        assert np.isfinite(model.predict(PAIRS)).all()


def check_built(row: Row, folder: Path) -> None:
    """Compare a chain built by hand with the library's own classes, before and after it is saved."""
    assert row.build is not None
    assert row.expected is not None
    model = CrossEncoder(modules=row.build(folder), device="cpu")
    expected = row.expected(folder, PAIRS)

    assert names(model) == row.chain
    np.testing.assert_allclose(model.predict(PAIRS, **NO_ACTIVATION), expected, atol=1e-5)
    np.testing.assert_allclose([model.predict(pair, **NO_ACTIVATION) for pair in PAIRS], expected, atol=1e-5)
    model.save_pretrained(folder / "saved", create_model_card=False)
    again = CrossEncoder(folder / "saved", device="cpu", backend=AUTO)
    assert again[0].backend == row.backend
    np.testing.assert_allclose(again.predict(PAIRS, **NO_ACTIVATION), expected, atol=1e-5)


def cells(models: str, row: Row) -> list[str]:
    """Return the cells of a row of the page, without the last one, which explains."""
    state = "build it" if row.build else "refused" if row.error else "loads with a warning" if row.warns else "loads"
    code = "trusted" if row.code else "none"
    modules = ", ".join(f"`{name}`" for name in row.chain)
    return [models, f"`{row.named}`", state, modules or "—", code, row.backend or "—"]


def test_the_page_has_these_rows_and_no_others() -> None:
    found = [row[:-1] for row in PAGE]

    assert found == [cells(models, row) for models, row in ROWS.items()]
    assert all(row[-1] for row in PAGE)
