"""Texts that a model of the transformers library cannot score beside others are scored alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import PAIRS, load, save_tiny

from pairchain import PairchainWarning

# Bart reads the last end of a text, and refuses a batch whose texts have several numbers of them.
ODD = ("a", "b </s> c")


def test_a_document_that_holds_an_end_of_text_does_not_fail_its_batch(tmp_path: Path) -> None:
    save_tiny(tmp_path, "bart", "ForSequenceClassification", num_labels=1)
    model = load(tmp_path)
    alone = [model.predict(pair) for pair in (*PAIRS, ODD)]
    with pytest.warns(PairchainWarning, match="same number of <eos> tokens"):
        together = model.predict([*PAIRS, ODD])
    np.testing.assert_allclose(together, alone, atol=1e-6)
