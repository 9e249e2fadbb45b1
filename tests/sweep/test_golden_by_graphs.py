"""Recorded calls get the same answers from the runtimes of exported graphs; a model that has no graph is refused."""

from __future__ import annotations

import pytest
from golden_calls import CASES, load, loaded
from test_golden import calls, check_answer

pytestmark = pytest.mark.slow

RUNTIMES = ["onnx", "openvino"]
# Models that no graph computes, and a part of the reason.
REFUSED = {
    "audio_qwen2_audio": "runs no models for the task 'any-to-any'",
    "clip_router_modality": "cannot be exported",
    # its class of Transformer is sentence-transformers' own, which asks for optimum
    "custom_transformer_kwargs": "requires installing Optimum",
    "gpt2_causal_no_padside": "without token types than with types of 0",
    "router_with_vlm": "runs no models for the task 'any-to-any'",
    "vlm_llava": "runs no models for the task 'any-to-any'",
}
# Its input module has no backend, and a warning says so.
WITHOUT_BACKEND = {"custom_input_module"}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("case", "index"), calls(set(CASES) - REFUSED.keys() - WITHOUT_BACKEND))
def test_a_recorded_call_gives_the_recorded_answer(case: str, index: int, runtime: str) -> None:
    check_answer(loaded(case, runtime), case, index)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("case", REFUSED)
def test_a_model_without_a_graph_is_refused_with_the_reason(case: str, runtime: str) -> None:
    with pytest.raises(Exception, match=REFUSED[case]):
        load(case, backend=runtime)
