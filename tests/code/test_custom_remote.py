"""Code of another repository runs at the revision that somebody named, and stays there, whatever its branch does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from custom_models import DIFFERENCES, LENGTHS, PAIRS, code_in, head, load, run_script, save_by_hand, scores, types_of
from hub_server import HubServer

import pairchain
from pairchain import PairchainWarning
from pairchain.errors import FormatError, MissingFileError, RevisionNotFoundError, SourceError, SourceNotFoundError

pytestmark = pytest.mark.slow

UNPINNED = r"takes code from the newest commit of .*, because nothing pins a revision; pin it with code_revision=\{"


def times(factor: float) -> list[float]:
    return [factor * score for score in DIFFERENCES]


class CodeRepository:
    """A repository with a head in ``heads.py``; each commit's multiplies by another factor."""

    def __init__(self, hub: HubServer, name: str) -> None:
        self._hub = hub
        self.name = f"custom-tests/{name}"
        hub.add_repo(self.name)

    def commit(self, factor: int, *, branch: str = "main") -> str:
        """Return the commit that a branch now points to."""
        files = {
            "heads.py": head(f"factor() * {factor}", before="from .factors import factor"),
            "factors.py": "def factor():\n    return 1",
        }
        return self._hub.commit(self.name, files, revision=branch)

    def model(self, folder: Path, **last_entry: Any) -> Path:
        """Return the folder of a model whose head is in the repository."""
        return save_by_hand(folder, ["lengths.Lengths", f"{self.name}--heads.Head"], {}, **last_entry)


@pytest.fixture
def code(hub: HubServer, request: pytest.FixtureRequest) -> CodeRepository:
    """A repository of its own for each test; its branches ``main`` and ``v2`` multiply by 1 and by 2."""
    repository = CodeRepository(hub, f"code-{abs(hash(request.node.name))}")
    repository.commit(1)
    repository.commit(2, branch="v2")
    return repository


# -- which revision --


def test_where_nobody_names_a_revision_it_warns_and_says_how_to_pin_it(code: CodeRepository, tmp_path: Path) -> None:
    commit = code.commit(3)
    with pytest.warns(PairchainWarning, match=UNPINNED) as warned:
        assert scores(code.model(tmp_path)) == times(3)
    assert len(warned) == 1
    assert f"code_revision={{'{code.name}': '{commit}'}}" in str(warned[0].message)
    assert f'"code_revision": "{commit}" in modules.json' in str(warned[0].message)


@pytest.mark.parametrize("form", ["for all", "by name", "as the reference has it"])
def test_the_caller_names_the_revision(code: CodeRepository, tmp_path: Path, form: str) -> None:
    options: dict[str, Any] = {
        "for all": {"code_revision": "v2"},
        "by name": {"code_revision": {code.name: "v2"}},
        "as the reference has it": {"model_kwargs": {"code_revision": "v2"}},
    }[form]
    before = json.dumps(options)
    assert scores(code.model(tmp_path), **options) == times(2)
    assert json.dumps(options) == before


def test_the_caller_comes_before_modules_json_and_that_before_the_branch_of_today(
    code: CodeRepository, tmp_path: Path
) -> None:
    commit = code.commit(5)
    code.commit(7)
    model = code.model(tmp_path, code_revision=commit)
    assert scores(model) == times(5)
    assert scores(model, code_revision="v2") == times(2)
    assert scores(code.model(tmp_path, code_revision="v2")) == times(2)


def test_a_repository_that_is_named_in_vain_is_told(code: CodeRepository, tmp_path: Path) -> None:
    model = code.model(tmp_path, code_revision="v2")
    with pytest.warns(
        PairchainWarning, match=r"code_revision names 'custom-tests/cod', .* \(did you mean 'custom-tests/code-"
    ):
        assert scores(model, code_revision={"custom-tests/cod": "main"}) == times(2)


def test_an_approval_of_a_commit_takes_that_commit(code: CodeRepository, tmp_path: Path) -> None:
    commit = code.commit(5)
    code.commit(7)
    for model in (code.model(tmp_path), code.model(tmp_path, code_revision="main")):
        assert scores(
            model, trust_remote_code=[f"{code.name}@{commit}", "sha256:" + _digest(model, "lengths.Lengths")]
        ) == times(5)


def _digest(model: Path, type_name: str) -> str:
    report = pairchain.inspect(model, code_revision="main")
    return report.code[f"the type {type_name!r}"].digest


def test_an_approval_of_another_commit_than_the_model_names_is_none(code: CodeRepository, tmp_path: Path) -> None:
    approved, named = code.commit(5), code.commit(7)
    model = code.model(tmp_path, code_revision=named)
    with pytest.raises(PermissionError) as refused:
        load(model, trust_remote_code=[f"{code.name}@{approved}"])
    assert f"{code.name}@{named}" in str(refused.value)


@pytest.mark.parametrize("saved", [{}, {"code_revision": "main"}])
def test_a_lock_keeps_the_commit_it_was_made_at(code: CodeRepository, tmp_path: Path, saved: dict[str, str]) -> None:
    code.commit(5)
    model = code.model(tmp_path / "model", **saved)
    pairchain.lock(model, tmp_path / "lock.json")
    code.commit(7)
    assert scores(model, lock=tmp_path / "lock.json") == times(5)


# -- a branch that moves --


def test_a_model_that_was_saved_again_names_the_commit_it_ran(code: CodeRepository, tmp_path: Path) -> None:
    commit = code.commit(5)
    model = load(code.model(tmp_path / "model"), code_revision="main")
    code.commit(7)
    model.save_pretrained(tmp_path / "again")
    entry = json.loads((tmp_path / "again" / "modules.json").read_text())[1]
    assert (entry["type"], entry["code_revision"]) == (f"{code.name}--heads.Head", commit)
    assert code_in(tmp_path / "again") == ["lengths.py"]
    assert scores(tmp_path / "again") == times(5)
    assert f"`heads.py` of `{code.name}`, commit `{commit}`" in (tmp_path / "again" / "README.md").read_text()


def test_its_code_is_copied_in_where_that_is_asked_for(code: CodeRepository, hub: HubServer, tmp_path: Path) -> None:
    model = load(code.model(tmp_path / "model"), code_revision="v2")
    model.save_pretrained(tmp_path / "again", copy_code=True)
    assert types_of(tmp_path / "again") == ["lengths.Lengths", "heads.Head"]
    assert code_in(tmp_path / "again") == ["factors.py", "heads.py", "lengths.py"]
    assert "code_revision" not in (tmp_path / "again" / "modules.json").read_text()
    hub.requests.clear()
    assert scores(tmp_path / "again") == times(2)
    assert hub.requests == []


def test_two_commits_of_one_repository_are_used_side_by_side(code: CodeRepository, tmp_path: Path) -> None:
    model = code.model(tmp_path)
    one, two = (load(model, code_revision=branch) for branch in ("main", "v2"))
    assert (one.predict(PAIRS).tolist(), two.predict(PAIRS).tolist()) == (times(1), times(2))
    assert type(one[1]) is not type(two[1])
    assert type(load(model, code_revision="v2")[1]) is type(two[1])


def test_a_branch_that_moves_while_a_model_loads_changes_nothing(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "custom-tests/moves"
    hub.add_repo(name)

    def model(factor: int) -> Path:
        files = {
            "lengths.py": f"import mover\nmover.move()\n{LENGTHS}",
            "heads.py": f"{head('self.factor')}\n    def __init__(self, factor):\n"
            "        super().__init__()\n        self.factor = factor\n",
            "1_Part/config.json": json.dumps({"factor": factor}),
        }
        return save_by_hand(tmp_path / str(factor), ["lengths.Lengths", "heads.Head"], files)

    commit, after = hub.commit(name, model(3)), model(5)
    mover = ModuleType("mover")
    mover.move = lambda: hub.commit(name, after)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mover", mover)
    hub.requests.clear()
    assert scores(name) == times(3)
    read = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert any(path.endswith("1_Part/config.json") for path in read)
    assert all(f"/{commit}/" in path for path in read)
    monkeypatch.setattr(mover, "move", lambda: None)
    assert scores(name) == times(5)


def test_all_modules_from_one_repository_are_of_one_commit(
    code: CodeRepository, hub: HubServer, tmp_path: Path
) -> None:
    types = ["lengths.Lengths", *[f"{code.name}--heads.Head"] * 3]
    hub.requests.clear()
    with pytest.warns(PairchainWarning, match=UNPINNED) as warned:
        assert scores(save_by_hand(tmp_path, types, {})) == times(1)
    assert len(warned) == 1
    asked = [request.path for request in hub.requests if request.path.startswith(f"/api/models/{code.name}")]
    assert len([path for path in asked if "/tree/" not in path]) == 1


# -- the model's own repository --


@pytest.mark.parametrize("own", ["heads.Head", "custom-tests/own--heads.Head"])
def test_a_model_on_the_hub_takes_its_own_files_at_its_own_revision(hub: HubServer, tmp_path: Path, own: str) -> None:
    hub.add_repo("custom-tests/own")
    for factor, branch in ((1, "main"), (2, "old")):
        folder = save_by_hand(tmp_path / branch, ["lengths.Lengths", own], {"heads.py": head(str(factor))})
        hub.commit("custom-tests/own", folder, revision=branch)
    assert scores("custom-tests/own", code_revision="nowhere") == times(1)
    assert scores("custom-tests/own", revision="old") == times(2)


def test_a_class_may_be_in_a_package_of_the_repository(hub: HubServer, tmp_path: Path) -> None:
    name = "custom-tests/package"
    hub.add_repo(name)
    files = {
        "src/heads/__init__.py": "from src.heads.score import Head",
        "src/heads/score.py": head("twice(1)", before="from ..doubling import twice\nimport src.doubling"),
        "src/doubling.py": "def twice(value):\n    return 2 * value",
        "README.md": "",
    }
    commit = hub.commit(name, files)
    for number, path in enumerate(("src.heads.score.Head", "src.heads.Head")):
        types = ["lengths.Lengths", f"{name}--{path}"]
        assert scores(save_by_hand(tmp_path / str(number), types, {}, code_revision=commit)) == times(2)


# -- offline --


@pytest.mark.slow
@pytest.mark.parametrize("revision", [{}, {"code_revision": "v2"}])
def test_what_was_loaded_before_loads_without_the_hub(
    code: CodeRepository, hub: HubServer, tmp_path: Path, revision: dict[str, str]
) -> None:
    options = {"cache_folder": tmp_path / "cache", "code_revision": "main", **revision}
    model = code.model(tmp_path / "model")
    before = scores(model, **options)
    hub.requests.clear()
    assert scores(model, local_files_only=True, **options) == before
    assert hub.requests == []
    script = """
    import json, sys
    from pairchain import CrossEncoder
    model, cache, revision, pairs = sys.argv[1:]
    model = CrossEncoder(model, trust_remote_code=True, cache_folder=cache, code_revision=revision)
    print(json.dumps(model.predict(json.loads(pairs)).tolist()))
    """
    arguments = model, tmp_path / "cache", options["code_revision"], json.dumps(PAIRS)
    assert json.loads(run_script(tmp_path / "user", script, *arguments, HF_HUB_OFFLINE="1")) == before
    assert hub.requests == []


def test_a_model_on_the_hub_loads_with_its_own_code_without_the_hub(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("custom-tests/offline")
    files = {
        "deep/heads/__init__.py": head("twice(1)", before="from ..doubling import twice"),
        "deep/doubling.py": "def twice(value):\n    return 2 * value",
        "deep/unused.py": "",
    }
    hub.commit("custom-tests/offline", save_by_hand(tmp_path, ["lengths.Lengths", "deep.heads.Head"], files))
    assert scores("custom-tests/offline") == times(2)
    hub.requests.clear()
    assert scores("custom-tests/offline", local_files_only=True) == times(2)
    assert hub.requests == []


def test_what_was_never_loaded_is_told_without_the_hub(code: CodeRepository, tmp_path: Path) -> None:
    model = code.model(tmp_path / "model", code_revision="v2")
    with pytest.raises(
        SourceError, match=f"'{code.name}' cannot be reached, and no copy of v2 is in the cache"
    ) as told:
        load(model, local_files_only=True, cache_folder=tmp_path / "cache")
    assert any(f"the type '{code.name}--heads.Head'" in note for note in told.value.__notes__)


# -- errors --


def test_what_is_not_there_is_named(code: CodeRepository, hub: HubServer, tmp_path: Path) -> None:
    def refused(kind: type[Exception], type_name: str, **entry: str) -> str:
        with pytest.raises(kind) as error:
            load(save_by_hand(tmp_path, ["lengths.Lengths", type_name], {}, **{"code_revision": "main", **entry}))
        return "\n".join([str(error.value), *getattr(error.value, "__notes__", ())])

    told = refused(MissingFileError, f"{code.name}--head.Head")
    assert f"head.py of {code.name}, which does not exist" in told
    assert "check the repository's name and revision" in told
    told = refused(FormatError, f"{code.name}--heads.Heed")
    assert "heads.py defines no class 'Heed' (did you mean 'Head'?)" in told
    assert f"{hub.endpoint}/{code.name}/blob/" in told
    told = refused(RevisionNotFoundError, f"{code.name}--heads.Head", code_revision="v3")
    assert f"'{code.name}' has no revision 'v3'" in told
    assert f"while looking for the code of the type '{code.name}--heads.Head'" in told
    told = refused(SourceNotFoundError, "custom-tests/nowhere--heads.Head")
    assert "'custom-tests/nowhere' does not exist, or is private" in told
    told = refused(FormatError, f"{code.name}--heads")
    assert "write it as owner/name--file.Class" in told
