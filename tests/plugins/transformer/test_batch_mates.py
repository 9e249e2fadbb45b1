"""A pair's score is its own: any order, batch size or duplication of inputs gives each the score it gets alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError

# short and empty, in several scripts, and longer than any of the models takes
texts = st.text("abc defgh?\né北🙂", max_size=40) | st.sampled_from(
    ["", "how many people live in berlin ?", "mars " * 300]
)
pictures = st.builds(
    Image.new,
    st.just("RGB"),
    st.tuples(st.integers(8, 40), st.integers(8, 40)),
    st.tuples(*[st.integers(0, 255)] * 3),
)
captions = st.text("abc defgh?\né北🙂", max_size=40)
sides = captions | pictures | st.fixed_dictionaries({"text": captions, "image": pictures})
pairs = st.tuples(texts, texts)
# a tokenizer of bytes adds no tokens of its own, and a pair without any is refused
bytes_pairs = pairs.filter(any)
said = st.builds(
    lambda query, document: [{"role": "query", "content": query}, {"role": "document", "content": document}],
    captions,
    captions,
)

# What is scored by each kind of chain.
CHAINS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "classifier": ("bert_seqcls_1label", pairs),
    "classifier with a chat template": ("qwen3_seqcls_chat_template", st.tuples(captions, captions) | said),
    "log-odds with a chat template": ("qwen3_causal_logitscore", st.tuples(captions, captions) | said),
    "pooled embeddings": ("pooling_mean", pairs),
    "pooled embeddings, padded on the left": ("pooling_left_padding", bytes_pairs),
    "router by task": ("router_by_task", pairs),
    "router by modality": ("router_with_vlm", st.tuples(sides, sides) | said),
    "images and texts": ("vlm_llava", st.tuples(sides, sides) | said),
}


@cache
def model_of(case: str) -> CrossEncoder:
    return load(GOLDEN / case / "model")


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_score_depends_on_nothing_but_its_input(chain: str, data: st.DataObject) -> None:
    case, inputs = CHAINS[chain]
    model = model_of(case)
    distinct = data.draw(st.lists(inputs, min_size=1, max_size=5))
    order = data.draw(st.lists(st.integers(0, len(distinct) - 1), min_size=2, max_size=12))
    batch_size = data.draw(st.integers(1, 12))
    alone = [float(model.predict([item])[0]) for item in distinct]

    together = model.predict([distinct[position] for position in order], batch_size=batch_size)

    np.testing.assert_allclose(together, [alone[position] for position in order], atol=1e-5, rtol=0)


def test_an_input_without_tokens_is_refused_alone_and_in_company() -> None:
    model = model_of("pooling_left_padding")

    for company in ([], [("a", "b")], [("a", ""), ("", "b")]):
        with pytest.raises(InputError, match=f"input {len(company)} has no tokens: its texts are empty"):
            model.predict([*company, ("", "")])
        assert model.predict([*company, ("x", "y")]).shape == (len(company) + 1,)
