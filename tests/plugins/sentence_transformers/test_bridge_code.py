"""Files written for sentence-transformers run unmodified: with its classes where it is installed, else with ours."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_models import PAIRS, WRITTEN, load, scores, without_library, write
from hub_server import HubServer
from plugin_folders import run_python
from torch import nn

# older paths of it, which files that came with a model name, work and are deprecated there
pytestmark = pytest.mark.filterwarnings("ignore:Importing from:DeprecationWarning")
TESTS = Path(__file__).parents[2]
LIBRARY = find_spec("sentence_transformers")
EVERY = """
import json, sys, tempfile
from pathlib import Path
from bridge_models import PAIRS, WRITTEN, load, scores, write

found = {}
for name in WRITTEN:
    with tempfile.TemporaryDirectory() as folder:
        model = load(write(name, Path(folder)))
        found[name] = scores(model)
        model.save_pretrained(Path(folder, "again"))
        assert scores(load(Path(folder, "again"))) == found[name], name
in_workers = model.predict(PAIRS, device=["cpu", "cpu"]).tolist()
left = [name for name in sys.modules if name.partition(".")[0] == "sentence_transformers"]
print(json.dumps({"scores": found, "workers": [name, in_workers], "modules": left}))
"""


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.reshape(found, -1), np.reshape(expected, -1), atol=2e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_an_overridden_method_is_called_as_it_is_written(name: str, tmp_path: Path) -> None:
    model = load(write(name, tmp_path))

    assert_close(scores(model), WRITTEN[name].expected(load(TESTS / "golden" / WRITTEN[name].case / "model")))
    home = type(model[WRITTEN[name].index]).__mro__[1].__module__.partition(".")[0]
    assert home == "sentence_transformers" if LIBRARY else home.startswith("pairchain")


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_a_saved_model_brings_the_file_and_scores_the_same(name: str, tmp_path: Path) -> None:
    model = load(write(name, tmp_path))
    model.save_pretrained(tmp_path / "again")

    assert (tmp_path / "again" / "custom.py").read_bytes() == (tmp_path / "model" / "custom.py").read_bytes()
    assert json.loads((tmp_path / "again" / "modules.json").read_text())[WRITTEN[name].index]["type"] == "custom.Custom"
    assert scores(load(tmp_path / "again")) == scores(model)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process without the library finds."""
    site = without_library(tmp_path_factory.mktemp("site"))
    found: dict[str, Any] = json.loads(run_python(EVERY, site, TESTS / "support"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_without_the_library_it_scores_the_same(name: str, without: dict[str, Any], tmp_path: Path) -> None:
    assert_close(without["scores"][name], scores(load(write(name, tmp_path))))


@pytest.mark.slow
def test_without_the_library_worker_processes_score_the_same(without: dict[str, Any]) -> None:
    name, found = without["workers"]

    assert_close(found, without["scores"][name])


@pytest.mark.slow
def test_without_the_library_nothing_is_left_that_looks_like_it(without: dict[str, Any]) -> None:
    assert without["modules"] == []


@pytest.mark.slow
def test_a_constructor_that_takes_no_revision_reads_every_file_at_the_models_commit(
    hub: HubServer, tmp_path: Path
) -> None:
    model = write("constructor of a Transformer", tmp_path)
    hub.add_repo("bridge-tests/closed")
    commit = hub.commit("bridge-tests/closed", model)
    hub.commit("bridge-tests/closed", {"README.md": "gone"})
    hub.requests.clear()
    code = f"""
    from bridge_models import load, scores
    print(scores(load("bridge-tests/closed", revision={commit!r})))
    """

    found = json.loads(run_python(code, without_library(tmp_path / "site"), TESTS / "support"))

    assert_close(found, scores(load(model)))
    read = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert any(path.endswith("/model.safetensors") for path in read)
    assert all(f"/{commit}/" in path for path in read)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("name", WRITTEN)
def test_the_library_itself_scores_the_same_with_the_file(name: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    model = load(write(name, tmp_path))
    model.save_pretrained(tmp_path / "again")

    for folder in ("model", "again"):
        theirs = CrossEncoder(str(tmp_path / folder), device="cpu", trust_remote_code=True, activation_fn=nn.Identity())
        assert_close(theirs.predict(PAIRS), scores(model))
