"""Where a model's files come from: a folder, or a Hub repository whose moving revision is resolved once to a commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer

from pairchain import CrossEncoder
from pairchain.errors import (
    AccessDeniedError,
    InputError,
    MissingFileError,
    RevisionNotFoundError,
    SourceNotFoundError,
    UnsafePathError,
)
from pairchain.modules import Pooling
from pairchain.opening import open_source

GOLDEN = Path(__file__).parents[1] / "golden"
MEAN = GOLDEN / "pooling_mean" / "model"
MAX = GOLDEN / "pooling_max" / "model"
SMALL = {"modules.json": "[]", "1_Pooling/config.json": "{}"}
PAIRS = [("what is the capital of france ?", "a monkey is playing drums ."), ("Mars", "the red planet .")]


def publish(hub: HubServer, name: str, files: Mapping[str, bytes | str] | Path = SMALL, **who: bool) -> str:
    """Return the commit of the new repository ``name`` that holds ``files``."""
    hub.add_repo(name, **who)
    return hub.commit(name, files)


def scores(name: str | Path, **options: Any) -> np.ndarray:
    result: np.ndarray = CrossEncoder(name, device="cpu", **options).predict(PAIRS)
    return result


def files_asked_for(hub: HubServer) -> list[str]:
    return [request.path for request in hub.requests if "/resolve/" in request.path or "/cdn/" in request.path]


# -- one load, one commit --


@pytest.mark.parametrize("revision", [None, "main", "next", "v1.0", "refs/pr/11"])
def test_a_branch_a_tag_and_a_pull_request_lead_to_their_commits(hub: HubServer, revision: str | None) -> None:
    hub.add_repo("user/revisions")
    names = ("main", "next", "v1.0", "refs/pr/11")
    commits = {name: hub.commit("user/revisions", {"which.txt": name}, revision=name) for name in names}
    source = open_source("user/revisions", revision=revision)
    assert source.commit == commits[revision or "main"]
    assert source.require("which.txt").read_text() == (revision or "main")
    assert str(source) == f"user/revisions at {source.commit[:12]}"


def test_a_commit_is_taken_as_it_is_without_asking_where_a_branch_is(hub: HubServer) -> None:
    commit = publish(hub, "user/by-commit")
    assert open_source("user/by-commit", revision=commit).commit == commit
    assert not hub.requests


@pytest.mark.parametrize("case", ["bert_seqcls_1label", "pooling_mean"])
def test_a_model_on_the_hub_scores_like_its_folder_and_all_its_files_come_from_one_commit(
    hub: HubServer, case: str
) -> None:
    commit = publish(hub, f"user/{case}", GOLDEN / case / "model")
    np.testing.assert_array_equal(scores(f"user/{case}"), scores(GOLDEN / case / "model"))
    asked = files_asked_for(hub)
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= {path.rpartition("/")[2] for path in asked}
    assert all(f"/{commit}/" in path for path in asked)
    assert [request.path for request in hub.requests].count(f"/api/models/user/{case}") == 1


def test_two_revisions_give_two_models(hub: HubServer) -> None:
    publish(hub, "user/two", MEAN)
    hub.commit("user/two", MAX, revision="refs/pr/11")
    np.testing.assert_array_equal(scores("user/two"), scores(MEAN))
    np.testing.assert_array_equal(scores("user/two", revision="refs/pr/11"), scores(MAX))


def test_a_branch_that_moves_between_two_loads_gives_the_new_model(hub: HubServer) -> None:
    publish(hub, "user/moved", MEAN)
    before = scores("user/moved")
    hub.commit("user/moved", MAX)
    np.testing.assert_array_equal(before, scores(MEAN))
    np.testing.assert_array_equal(scores("user/moved"), scores(MAX))


def test_a_branch_that_moves_during_a_load_mixes_no_two_models(hub: HubServer) -> None:
    commit = publish(hub, "user/moving", MEAN)

    class MovesTheBranch(Pooling):
        @classmethod
        def load(cls, *args: Any, **kwargs: Any) -> Any:
            hub.commit("user/moving", MAX)
            return super().load(*args, **kwargs)

    loaded = scores("user/moving", module_classes={Pooling.module_type: MovesTheBranch})
    np.testing.assert_array_equal(loaded, scores(MEAN))
    assert all(f"/{commit}/" in path for path in files_asked_for(hub))
    np.testing.assert_array_equal(scores("user/moving"), scores(MAX))


def test_a_renamed_repository_is_found_under_its_old_name(hub: HubServer) -> None:
    publish(hub, "user/old-name", MEAN)
    hub.rename("user/old-name", "user/new-name")
    np.testing.assert_array_equal(scores("user/old-name"), scores(MEAN))


# -- who may read it --


@pytest.mark.parametrize("token", [None, False, "hf_wrong"])
def test_a_private_repository_opens_only_with_its_token(hub: HubServer, token: str | bool | None) -> None:
    publish(hub, "user/private", private=True)
    with pytest.raises(SourceNotFoundError, match="'user/private' does not exist, or is private") as caught:
        open_source("user/private", token=token)
    assert "hf auth login" in str(caught.value)
    assert "token=" in str(caught.value)
    hub.tokens.add("hf_right")
    assert open_source("user/private", token="hf_right").require("modules.json").read_text() == "[]"


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_gated_repository_says_that_access_must_be_asked_for(hub: HubServer, token: str | None) -> None:
    publish(hub, "user/gated", MEAN, gated=True)
    with pytest.raises(AccessDeniedError, match="'user/gated' is gated") as caught:
        scores("user/gated", token=token)
    assert "request access on its page, then log in with `hf auth login` or pass token=" in str(caught.value)
    hub.tokens.add("hf_right")
    np.testing.assert_array_equal(scores("user/gated", token="hf_right"), scores(MEAN))


def test_the_stored_token_is_asked_for_where_there_is_none(hub: HubServer) -> None:
    publish(hub, "user/stored-token")
    with pytest.raises(AccessDeniedError, match=r"(?s)token=True.*no token is stored.*hf auth login"):
        open_source("user/stored-token", token=True)


# -- what a name stands for --


def test_a_name_without_an_owner_belongs_to_the_cross_encoder_organisation(hub: HubServer) -> None:
    publish(hub, "cross-encoder/tiny")
    publish(hub, "bert-base-uncased")
    assert open_source("tiny").name == "cross-encoder/tiny"
    assert open_source("bert-base-uncased").name == "bert-base-uncased"


@pytest.mark.parametrize(
    ("name", "error", "parts"),
    [
        ("./missing", SourceNotFoundError, ["no folder './missing'", "looked from", "owner/name"]),
        ("/missing", SourceNotFoundError, ["no folder '/missing'"]),
        ("~/missing", SourceNotFoundError, ["no folder '~/missing'"]),
        ("a/b/c", SourceNotFoundError, ["no folder 'a/b/c'", "owner/name"]),
        ("C:\\models\\mine", SourceNotFoundError, ["no folder", "mine"]),
        (str(MEAN / "config.json"), SourceNotFoundError, ["config.json' is a file", "name the folder"]),
        ("", InputError, ["name is empty", "name a folder or a repository"]),
        (3, InputError, ["must be a string or path, got int"]),
        (b"a/b", InputError, ["must be a string or path, got bytes"]),
        ("two words", InputError, ["two words", "neither a folder nor a repository"]),
        ("user/mo--del", InputError, ["'user/mo--del'", "neither a folder nor a repository"]),
        ("user/\0", InputError, ["neither a folder nor a repository"]),
        ("x" * 5000, InputError, ["neither a folder nor a repository"]),
        ("s3://bucket/model", SourceNotFoundError, ["no installed plugin opens 's3://bucket/model'", "fetch"]),
        ("user/never-made", SourceNotFoundError, ["'user/never-made' does not exist", "no folder of that name"]),
        ("never-made", SourceNotFoundError, ["'cross-encoder/never-made' does not exist"]),
    ],
)
def test_a_name_that_leads_nowhere_says_what_was_looked_for(
    hub: HubServer, name: str, error: type[Exception], parts: list[str]
) -> None:
    with pytest.raises(error) as caught:
        open_source(name)
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("revision", ["no-such-branch", "0" * 40])
def test_a_revision_that_does_not_exist_is_named(hub: HubServer, revision: str) -> None:
    publish(hub, "user/no-revision")
    with pytest.raises(RevisionNotFoundError, match=f"(?s)'user/no-revision' has no revision '{revision}'.*refs/pr/11"):
        scores("user/no-revision", revision=revision)


# -- folders inside --


def test_a_model_in_a_subfolder_of_a_repository_or_a_folder_scores_the_same(hub: HubServer) -> None:
    files = {f"deep/er/{path.relative_to(MEAN)}": path.read_bytes() for path in MEAN.rglob("*") if path.is_file()}
    publish(hub, "user/nested", files)
    np.testing.assert_array_equal(scores("user/nested", subfolder="deep/er"), scores(MEAN))
    np.testing.assert_array_equal(scores(MEAN.parent, subfolder="model/"), scores(MEAN))


def test_a_subfolder_without_a_model_is_named(hub: HubServer) -> None:
    publish(hub, "user/nothing-there", {"README.md": "hello"})
    with pytest.raises(MissingFileError, match=r"(?s)no model here.*user/nothing-there at .*, folder deep"):
        scores("user/nothing-there", subfolder="deep")


@pytest.mark.parametrize("kind", ["folder", "repository"])
def test_a_source_answers_alike_wherever_it_is(hub: HubServer, tmp_path: Path, kind: str) -> None:
    publish(hub, "user/alike")
    (tmp_path / "1_Pooling").mkdir()
    for path, text in SMALL.items():
        (tmp_path / path).write_text(text)
    source = open_source(tmp_path if kind == "folder" else "user/alike")
    assert source.is_local == (kind == "folder")
    assert source.require("modules.json").read_text() == "[]"
    assert source.has("1_Pooling/config.json")
    assert (source.folder("1_Pooling") / "config.json").is_file()
    assert source.file("2_Dense/config.json") is None
    assert not source.has("2_Dense/config.json")
    with pytest.raises(
        MissingFileError, match=r"(?s)config\.json is missing\. It is needed\..*save or fetch the model"
    ):
        source.require("config.json", because="It is needed.")
    assert not source.folder("2_Dense").exists()
    for ask in (source.file, source.has, source.folder):
        with pytest.raises(UnsafePathError, match=r"'\.\./secret', which leaves"):
            ask("../secret")
