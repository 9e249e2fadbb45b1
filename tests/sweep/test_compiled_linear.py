"""A compiled model whose linear layers oneDNN computes scores as before; compiling takes a while."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny

from pairchain import CrossEncoder
from pairchain.engine import onednn

PAIRS = [(f"query {number % 3}", "word " * (5 + number % 17)) for number in range(40)]


@pytest.mark.slow
@pytest.mark.skipif(not onednn.is_available(), reason="this PyTorch has no oneDNN")
def test_a_compiled_model_scores_as_before(tmp_path: Path) -> None:
    model = CrossEncoder(save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1), device="cpu")
    expected = model.predict(PAIRS)
    model[0].execution.onednn = True
    model[0].model.compile(backend="aot_eager")

    np.testing.assert_allclose(model.predict(PAIRS), expected, rtol=1e-5, atol=1e-6)
