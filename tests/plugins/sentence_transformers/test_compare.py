"""`pairchain.compare` scores the same pairs with sentence-transformers and shows the difference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bridge_models import PAIRS, load, without_library, write
from hub_server import HubServer
from PIL import Image
from plugin_folders import run_python
from torch import nn
from traps import CHECKPOINT, HEAD, Canary, with_auto_map, with_module

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, InputError, SourceNotFoundError, TrustRequiredError

# older paths of it, which files that came with a model name, work and are deprecated there
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Importing from:DeprecationWarning")]
TESTS = Path(__file__).parents[2]
SCALED = """
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * {factor}
        return output
"""
GOLDEN = TESTS / "golden"


@pytest.mark.peer
def test_a_path_is_loaded_by_both() -> None:
    path = GOLDEN / "bert_seqcls_1label" / "model"

    found = pairchain.compare(path, PAIRS, device="cpu")

    assert found.ours.tolist() == CrossEncoder(path, device="cpu").predict(PAIRS).tolist()
    assert found.pairs == PAIRS
    assert found.theirs.shape == found.ours.shape == found.differences.shape == (2,)
    assert found.largest == np.abs(found.ours - found.theirs).max() < 2e-5
    assert found.dtypes == {"pairchain": "float32", "sentence-transformers": "float32"}
    assert found.versions["sentence-transformers"] == "6.2.0"
    assert set(found.versions) == {"pairchain-core", "sentence-transformers", "transformers", "torch"}


@pytest.mark.peer
def test_a_name_is_loaded_by_both_at_one_commit(hub: HubServer, golden: Path) -> None:
    hub.add_repo("someone/compared")
    first = hub.commit("someone/compared", golden / "bert_seqcls_1label" / "model")
    hub.commit("someone/compared", golden / "roberta_seqcls" / "model")

    found = pairchain.compare("someone/compared", PAIRS, revision=first, device="cpu")

    assert found.largest < 2e-5
    assert found.ours.tolist() == pairchain.compare(golden / "bert_seqcls_1label" / "model", PAIRS).ours.tolist()


@pytest.mark.peer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_model_is_compared_in_the_dtype_it_has(dtype: torch.dtype) -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu").to(dtype)

    found = pairchain.compare(model, PAIRS)

    assert set(found.dtypes.values()) == {str(dtype).removeprefix("torch.")}
    assert found.largest < 1e-2
    assert found.ours.tolist() == model.predict(PAIRS).tolist()


@pytest.mark.peer
def test_a_chain_built_by_hand_is_compared_with_its_prompts_and_activation() -> None:
    source = CrossEncoder(GOLDEN / "pooling_mean" / "model", device="cpu")
    settings = {"prompts": {"judge": "judge : "}, "default_prompt_name": "judge", "activation_fn": nn.Tanh()}
    model = CrossEncoder(modules=list(source), device="cpu", **settings)

    found = pairchain.compare(model, PAIRS)

    assert found.largest < 2e-5
    assert found.ours.tolist() != pairchain.compare(source, PAIRS).ours.tolist()


@pytest.mark.peer
def test_a_model_with_code_is_compared_without_asking_again(tmp_path: Path) -> None:
    model = load(write("preprocess of a Transformer", tmp_path))

    found = pairchain.compare(model, PAIRS)

    assert found.largest < 2e-5
    assert found.ours.tolist() != pairchain.compare(GOLDEN / "bert_seqcls_1label" / "model", PAIRS).ours.tolist()


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:the model takes code from:pairchain.PairchainWarning")
def test_code_of_another_repository_is_compared_as_it_was_loaded() -> None:
    case = GOLDEN / "custom_remote_ref"
    cache = {"cache_folder": case / "hub", "local_files_only": True, "trust_remote_code": True, "device": "cpu"}
    models = [CrossEncoder(case / "model", **cache, code_revision=revision) for revision in ("main", "v2")]

    main, v2 = (pairchain.compare(model, PAIRS) for model in models)

    assert main.largest < 2e-5
    assert v2.largest < 2e-5
    assert (np.abs(v2.ours) > np.abs(main.ours)).all()


@pytest.mark.peer
def test_a_path_with_code_of_another_repository_is_compared_with_the_commit_that_it_names(
    hub: HubServer, classifier: Path
) -> None:
    hub.add_repo("someone/moving-head")
    named = hub.commit("someone/moving-head", {"head.py": HEAD.format(factor=2.0)})
    hub.commit("someone/moving-head", {"head.py": HEAD.format(factor=5.0)})
    with_module(classifier, "someone/moving-head--head.Head", {"9_Head/config.json": "{}"}, code_revision=named)

    found = pairchain.compare(classifier, PAIRS, trust_remote_code=True)

    assert found.largest < 2e-5
    assert found.ours.tolist() == CrossEncoder(classifier, trust_remote_code=True).predict(PAIRS).tolist()


@pytest.mark.peer
def test_a_checkpoint_with_code_of_another_repository_is_compared_with_the_code_that_ran(
    hub: HubServer, classifier: Path, tmp_path: Path
) -> None:
    hub.add_repo("someone/moving-model")
    first = hub.commit("someone/moving-model", {"modeling.py": (CHECKPOINT + SCALED).format(factor=2.0)})
    hub.commit("someone/moving-model", {"modeling.py": (CHECKPOINT + SCALED).format(factor=5.0)})
    with_auto_map(classifier, Canary(tmp_path), module="someone/moving-model--modeling", code="")
    model = CrossEncoder(classifier, device="cpu", trust_remote_code=True, code_revision=first)

    found = pairchain.compare(model, PAIRS)

    assert found.largest < 2e-5
    assert found.ours.tolist() == model.predict(PAIRS).tolist()


@pytest.mark.peer
def test_several_labels_are_compared_label_by_label_and_have_no_ranks() -> None:
    found = pairchain.compare(GOLDEN / "bert_seqcls_3labels" / "model", PAIRS, device="cpu")

    assert found.differences.shape == (2, 3)
    assert found.largest < 2e-5
    assert found.ranks is None
    assert found.to_json()["ranks"] is None
    lines = str(found).splitlines()
    assert "ranks" not in str(found)
    assert [line.split()[0] for line in lines[1:7]] == ["0", "0", "0", "1", "1", "1"]


@pytest.mark.peer
def test_images_are_compared() -> None:
    images = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    pairs = [("a red square", images[0]), (images[1], "a red square")]

    found = pairchain.compare(GOLDEN / "vlm_llava" / "model", pairs, batch_size=1, device="cpu")

    assert found.largest < 1e-4
    assert json.loads(json.dumps(found.to_json()))["ours"] == pytest.approx(found.ours.tolist())


@pytest.mark.peer
def test_ranks_count_from_the_highest_score_and_a_moved_one_is_told() -> None:
    found = pairchain.compare(GOLDEN / "bert_seqcls_1label" / "model", [*PAIRS, ("x", "y")], device="cpu")
    order = np.argsort(-found.ours).tolist()
    moved = type(found)(found.pairs, found.ours, found.theirs[::-1], found.dtypes, found.versions)

    assert found.ranks is not None
    assert [found.ranks[0].tolist().index(place) for place in range(3)] == order
    assert found.ranks[0].tolist() == found.ranks[1].tolist()
    assert "ranks that differ: 0" in str(found)
    assert "ranks that differ: 2" in str(moved)
    assert moved.largest > 0.01


@pytest.mark.peer
def test_it_prints_as_a_table_that_names_what_was_compared() -> None:
    pairs = [*PAIRS, *[("x", f"y{number}") for number in range(30)]]

    found = pairchain.compare(GOLDEN / "bert_seqcls_1label" / "model", pairs, device="cpu")

    lines = str(found).splitlines()
    assert lines[0].split() == ["pair", "pairchain", "sentence-tr.", "difference", "ranks"]
    assert float(lines[1].split()[1]) == pytest.approx(found.ours[0], rel=1e-6)
    assert lines[21] == "… and 12 more"
    assert lines[22].startswith("pairs: 32, largest difference: ")
    assert "sentence-transformers 6.2.0" in lines[23]
    assert lines[24] == "pairchain: float32, sentence-transformers: float32"
    assert all(line == line.rstrip() for line in lines)
    assert found.to_json()["largest_difference"] == found.largest
    assert found.to_json()["versions"] == found.versions


@pytest.mark.peer
def test_one_pair_on_its_own_and_none_at_all_are_compared() -> None:
    path = GOLDEN / "bert_seqcls_1label" / "model"

    one, none = (pairchain.compare(path, pairs, device="cpu") for pairs in (PAIRS[0], []))

    assert one.ours.shape == one.theirs.shape == (1,)
    assert (none.ours.shape, none.largest) == ((0,), 0)


@pytest.mark.peer
def test_what_cannot_be_compared_is_refused_with_what_to_do() -> None:
    path = GOLDEN / "bert_seqcls_1label" / "model"
    model = CrossEncoder(path, device="cpu")

    with pytest.raises(InputError, match=r"has no option 'lock'.*\n.*compare\(CrossEncoder\(…, lock=…\), pairs\)"):
        pairchain.compare(path, PAIRS, lock="model.lock.json")
    with pytest.raises(InputError, match=r"all code of a model or none.*\n.*trust_remote_code=True"):
        pairchain.compare(path, PAIRS, trust_remote_code=["sha256:" + "0" * 64])
    with pytest.raises(InputError, match="already loaded, so device, revision cannot be used"):
        pairchain.compare(model, PAIRS, device="cpu", revision="main")
    with pytest.raises(InputError, match=r"model is a torch.nn.modules.linear.Linear\.\n.*a model's name or path"):
        pairchain.compare(nn.Linear(1, 1), PAIRS)
    with pytest.raises(InputError, match="'a bare string' is not a pair"):
        pairchain.compare(path, "a bare string")
    with pytest.raises(InputError, match="batch_size"):
        pairchain.compare(path, PAIRS, batch_size=0)
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        pairchain.compare(GOLDEN / "nowhere", PAIRS)


@pytest.mark.peer
def test_code_runs_in_neither_library_unless_it_is_trusted(tmp_path: Path) -> None:
    model = write("load of a Dense", tmp_path)

    with pytest.raises(TrustRequiredError, match=r"custom\.py"):
        pairchain.compare(model, PAIRS)
    assert pairchain.compare(model, PAIRS, trust_remote_code=True).largest < 2e-5


@pytest.mark.peer
def test_a_model_that_cannot_be_saved_says_why() -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu", activation_fn=lambda scores: scores)

    with pytest.raises(FormatError, match="activation"):
        pairchain.compare(model, PAIRS)


@pytest.mark.peer
def test_an_error_of_the_other_library_is_told_to_be_its_own(pooled: Path) -> None:
    # to that library a short name is no type
    entries = json.loads((pooled / "modules.json").read_text())
    entries[2]["type"] = "Dense"
    (pooled / "modules.json").write_text(json.dumps(entries))

    with pytest.raises(ValueError, match="module class 'Dense'") as caught:
        pairchain.compare(pooled, PAIRS)

    assert "raised by sentence-transformers; pairchain scored these pairs" in caught.value.__notes__


def failure(site: Path, **environ: str) -> str:
    """Return what `pairchain.compare` says in a Python that hides the library."""
    code = """
    import pairchain
    try:
        pairchain.compare("a model", [("a", "b")])
    except pairchain.errors.PluginError as error:
        print(error)
    """
    return run_python(code, without_library(site), **environ)


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    printed = failure(tmp_path)

    assert "a comparison needs sentence-transformers, which is not installed" in printed
    assert "pip install sentence-transformers" in printed


def test_a_bridge_that_is_not_allowed_is_named_with_the_setting(tmp_path: Path) -> None:
    printed = failure(tmp_path, PAIRCHAIN_DISABLE_PLUGINS="pairchain-sentence-transformers")

    assert "pairchain-sentence-transformers, which is disabled by PAIRCHAIN_" in printed
    assert "pairchain-sentence-transformers" in printed
    assert "change PAIRCHAIN_DISABLE_PLUGINS" in printed
