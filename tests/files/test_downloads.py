"""Downloads from a Hub: cut off, refused, resumed, and kept in a cache that serves when there is no Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer

from pairchain import CrossEncoder
from pairchain.errors import MissingFileError, SourceError
from pairchain.opening import open_source

MEAN = Path(__file__).parents[1] / "golden" / "pooling_mean" / "model"
PAIRS = [("what is the capital of france ?", "a monkey is playing drums ."), ("Mars", "the red planet .")]


def publish(hub: HubServer, name: str) -> None:
    """Put a model of three modules into the new repository ``name``."""
    hub.add_repo(name)
    hub.commit(name, MEAN)


def scores(name: str | Path, **options: Any) -> np.ndarray:
    result: np.ndarray = CrossEncoder(name, device="cpu", **options).predict(PAIRS)
    return result


# -- downloads that fail --


@pytest.mark.slow
@pytest.mark.parametrize("file", ["modules.json", "/model.safetensors", "tokenizer.json", "2_Dense/model.safetensors"])
def test_a_download_cut_off_leaves_no_half_file_and_works_the_next_time(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the tries of the Hub library
    publish(hub, "user/cut")
    hub.truncate(file, 10, times=6)
    name = file.removeprefix("/")
    with pytest.raises(SourceError, match=f"(?s){name} of the repository 'user/cut' cannot be downloaded.*try again"):
        scores("user/cut", cache_folder=tmp_path)
    assert not [path for path in tmp_path.glob("models--user--cut/snapshots/*/**/*") if path.match(name)]
    np.testing.assert_array_equal(scores("user/cut", cache_folder=tmp_path), scores(MEAN))


def test_a_download_cut_off_once_is_resumed(hub: HubServer) -> None:
    publish(hub, "user/resumed")
    hub.truncate("/model.safetensors", 1000)
    np.testing.assert_array_equal(scores("user/resumed"), scores(MEAN))


@pytest.mark.parametrize("file", ["config_sentence_transformers.json", "tokenizer_config.json", "/model.safetensors"])
def test_a_file_that_the_hub_fails_to_send_is_never_left_out_silently(
    hub: HubServer, tmp_path: Path, file: str
) -> None:
    publish(hub, "user/failing")
    hub.fail(file, 503, method="GET")
    name = file.removeprefix("/")
    with pytest.raises(SourceError, match=f"(?s){name} of the repository 'user/failing' cannot be downloaded.*503"):
        scores("user/failing", cache_folder=tmp_path)
    np.testing.assert_array_equal(scores("user/failing", cache_folder=tmp_path), scores(MEAN))


def test_a_hub_that_is_down_is_an_error_only_for_what_was_never_downloaded(hub: HubServer) -> None:
    publish(hub, "user/down")
    before = scores("user/down")
    hub.fail("/api/models/user/down", 503)
    np.testing.assert_array_equal(scores("user/down"), before)
    hub.fail("/revision/next", 503)
    with pytest.raises(SourceError, match="'user/down' cannot be reached, and no copy of next is in the cache"):
        open_source("user/down", revision="next")


def test_a_hub_that_is_down_is_asked_once_and_the_cache_serves_the_rest(hub: HubServer, tmp_path: Path) -> None:
    publish(hub, "user/cached-whole")
    before = scores("user/cached-whole", cache_folder=tmp_path)
    hub.requests.clear()
    hub.fail("/api/models/user/cached-whole", 503)
    np.testing.assert_array_equal(scores("user/cached-whole", cache_folder=tmp_path), before)
    assert [request.path for request in hub.requests] == ["/api/models/user/cached-whole"]


def test_a_hub_that_is_down_leaves_no_file_out_silently(hub: HubServer, tmp_path: Path) -> None:
    publish(hub, "user/cached-partly")
    source = open_source("user/cached-partly", cache_folder=tmp_path)
    for path in ("modules.json", "config_sentence_transformers.json"):
        source.require(path)
    hub.fail("/api/models/user/cached-partly", 503)
    with pytest.raises(MissingFileError, match=r"(?s)config\.json is missing.*downloaded earlier; allow.*or go online"):
        scores("user/cached-partly", cache_folder=tmp_path)


# -- the cache --


def test_downloads_are_kept_where_the_caller_or_the_environment_says(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, "user/kept")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "variable"))
    assert open_source("user/kept").require("modules.json").is_relative_to(tmp_path / "variable")
    given = open_source("user/kept", cache_folder=tmp_path / "argument")
    assert given.require("modules.json").is_relative_to(tmp_path / "argument")


def test_a_model_downloaded_before_loads_from_the_cache_without_a_request(hub: HubServer, tmp_path: Path) -> None:
    publish(hub, "user/cached")
    with pytest.raises(SourceError, match=r"(?s)no copy of its default branch is in the cache.*local_files_only"):
        scores("user/cached", cache_folder=tmp_path, local_files_only=True)
    online = scores("user/cached", cache_folder=tmp_path)
    hub.requests.clear()
    for revision in (None, "main"):
        offline = scores("user/cached", cache_folder=tmp_path, local_files_only=True, revision=revision)
        np.testing.assert_array_equal(offline, online)
    assert not hub.requests


def test_offline_a_file_that_was_not_downloaded_is_told_as_that(hub: HubServer, tmp_path: Path) -> None:
    publish(hub, "user/partly")
    source = open_source("user/partly", cache_folder=tmp_path)
    for path in ("modules.json", "config_sentence_transformers.json"):
        source.require(path)
    with pytest.raises(MissingFileError, match=r"(?s)config\.json is missing.*downloaded earlier; allow downloads"):
        scores("user/partly", cache_folder=tmp_path, local_files_only=True)


@pytest.mark.slow
def test_the_offline_variable_of_the_hub_library_is_respected(hub: HubServer) -> None:
    publish(hub, "user/offline")
    online = scores("user/offline")
    hub.requests.clear()
    script = (
        "import json, sys; from pairchain import CrossEncoder; model = CrossEncoder('user/offline', device='cpu');"
        "print(json.dumps(model.predict(json.loads(sys.argv[1])).tolist()))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, json.dumps(PAIRS)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(finished.stdout) == online.tolist()
    assert not hub.requests


def test_a_file_that_a_commit_lacks_is_asked_for_once(hub: HubServer, tmp_path: Path) -> None:
    publish(hub, "user/asked-once")
    scores("user/asked-once", cache_folder=tmp_path)
    hub.requests.clear()
    scores("user/asked-once", cache_folder=tmp_path)
    assert not [request for request in hub.requests if "/resolve/" in request.path]
