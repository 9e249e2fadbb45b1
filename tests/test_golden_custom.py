"""Golden models that bring code of their own: what the reference gets wrong of them, as pairchain has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_calls import GOLDEN, assert_same_answer, loaded, recorded, replay

from pairchain import CrossEncoder

BESIDE = ("custom_input_module", "custom_module_in_subfolder", "custom_temperature_module", "custom_transformer_kwargs")


# The reference takes its head of one score for two, and refuses.
@pytest.mark.parametrize("index", [4, 5])
def test_a_head_of_one_score_that_comes_with_the_model_ranks(index: int) -> None:
    case = "custom_temperature_module"
    call, model = recorded(case)["calls"][index], loaded(case)
    scores = model.predict([(call["query"], document) for document in call["documents"]])

    found = replay(model, call, case)

    assert [hit["corpus_id"] for hit in found] == np.argsort(-scores).tolist()[: call["kwargs"].get("top_k")]
    assert [hit["score"] for hit in found] == pytest.approx(sorted(scores.tolist(), reverse=True)[: len(found)])


# The reference saves a module's file into its folder, and looks for it in the model's.
def test_a_file_beside_its_module_is_found_there() -> None:
    around, inside = GOLDEN / "custom_temperature_module", GOLDEN / "custom_module_in_subfolder"
    assert (around / "model/model.safetensors").read_bytes() == (inside / "model/model.safetensors").read_bytes()

    for call in recorded(around.name)["calls"][:4]:
        output = replay(loaded(inside.name), call, inside.name)
        assert_same_answer(output, call, recorded(inside.name)["tolerance"])


# The reference asks for it in vain: its first module, which has no use for it, takes it away.
@pytest.mark.parametrize("asked", [{"code_revision": "v2"}, {"model_kwargs": {"code_revision": "v2"}}])
def test_the_code_of_another_repository_is_taken_at_the_revision_asked_for(asked: dict[str, Any]) -> None:
    case = "custom_remote_ref"
    folders = {"cache_folder": GOLDEN / case / "hub", "local_files_only": True}
    model = CrossEncoder(GOLDEN / case / "model", device="cpu", trust_remote_code=True, **folders, **asked)
    call = recorded(case)["calls"][0]

    # it divides by a tenth of the temperature
    np.testing.assert_allclose(replay(model, call, case), 10 * np.array(call["expected"]), rtol=1e-4)


@pytest.mark.peer
@pytest.mark.parametrize("case", BESIDE)
def test_what_pairchain_saves_with_its_code_loads_in_both_with_equal_scores(case: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder as Peer

    loaded(case).save_pretrained(tmp_path)
    call = recorded(case.replace("module_in_subfolder", "temperature_module"))["calls"][0]
    for library in (CrossEncoder, Peer):
        scores = library(str(tmp_path), device="cpu", trust_remote_code=True).predict(call["inputs"], **call["kwargs"])
        np.testing.assert_allclose(np.ravel(scores), call["expected"], atol=recorded(case)["tolerance"], rtol=1e-4)
