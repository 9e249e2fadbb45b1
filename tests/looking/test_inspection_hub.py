"""A report on a model on the Hub fetches its settings, its code and the headers of its weights, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from broken_models import keys, pickled, sharded
from custom_models import head, save_by_hand
from golden_calls import GOLDEN
from hub_server import HubServer

from pairchain import CrossEncoder, inspect
from pairchain.errors import AccessDeniedError, FormatError, SourceNotFoundError

POOLED = GOLDEN / "pooling_mean" / "model"


def files_of(folder: Path, prefix: str = "") -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {f"{prefix}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in found}


def published(hub: HubServer, name: str, files: dict[str, bytes]) -> str:
    hub.add_repo(name)
    return hub.commit(name, files)


def padded(content: bytes, size: int) -> bytes:
    """Return a safetensors file with the same tensors and a header of ``size`` bytes."""
    length = int.from_bytes(content[:8], "little")
    return size.to_bytes(8, "little") + content[8 : 8 + length].ljust(size) + content[8 + length :]


def fetched(hub: HubServer) -> set[str]:
    """Return the files of which some bytes were sent, and how many requests named a range of each."""
    return {request.path.partition("/resolve/")[2].partition("/")[2] for request in hub.requests if sends(request)}


def sends(request: object) -> bool:
    return getattr(request, "method", "") == "GET" and "/resolve/" in getattr(request, "path", "")


def test_a_report_is_the_same_for_a_folder_and_for_its_copy_on_the_hub(hub: HubServer) -> None:
    commit = published(hub, "inspected/pooled", files_of(POOLED))

    there, here = inspect("inspected/pooled").to_json(), inspect(POOLED).to_json()

    assert (there.pop("name"), there.pop("commit")) == ("inspected/pooled", commit)
    del here["name"], here["commit"]
    assert there == here


def test_neither_weights_nor_tokenizer_are_downloaded(hub: HubServer) -> None:
    weights = files_of(POOLED)["model.safetensors"]
    published(hub, "inspected/large", {**files_of(POOLED), "model.safetensors": weights + bytes(3_000_000)})

    report = inspect("inspected/large")

    ranged = [request for request in hub.requests if request.path.endswith("model.safetensors")]
    assert ranged
    assert {request.headers.get("Range") for request in ranged} == {"bytes=0-99999"}
    assert "tokenizer.json" not in fetched(hub)
    assert report.total.parameters == {"F32": 25185}


def test_files_that_are_not_there_are_not_asked_for(hub: HubServer) -> None:
    published(hub, "inspected/quiet", files_of(POOLED))

    inspect("inspected/quiet")

    asked = {request.path.partition("/resolve/")[2].partition("/")[2] for request in hub.requests} - {""}
    assert asked <= files_of(POOLED).keys()


def test_a_header_longer_than_what_is_fetched_first_is_fetched_to_its_end(hub: HubServer) -> None:
    files = files_of(POOLED)
    files["model.safetensors"] = padded(files["model.safetensors"], 250_000)
    published(hub, "inspected/header", files)

    report = inspect("inspected/header")

    ranges = [r.headers.get("Range") for r in hub.requests if "/resolve/" in r.path and "/model.safetensors" in r.path]
    assert ranges[:2] == ["bytes=0-99999", "bytes=100000-250007"]
    assert report.total == inspect(POOLED).total


def test_weights_in_several_files_are_told_from_all_their_headers(hub: HubServer, classifier: Path) -> None:
    whole = inspect(classifier).total
    sharded()(classifier)
    published(hub, "inspected/sharded", files_of(classifier))

    report = inspect("inspected/sharded")

    assert report.total == whole
    assert report.failures == []
    assert {r.headers.get("Range") for r in hub.requests if r.path.endswith(".safetensors")} == {"bytes=0-99999"}


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", bytes(100), b"PK\x03\x04" + bytes(200)])
def test_weights_on_the_hub_that_are_no_safetensors_file_fail(content: bytes, hub: HubServer) -> None:
    name = f"inspected/damaged-{len(content)}"
    published(hub, name, {**files_of(POOLED), "model.safetensors": content})

    (problem,) = inspect(name).failures

    assert f"model.safetensors of {name} is not a complete safetensors file" in problem.text
    with pytest.raises(FormatError):
        CrossEncoder(name, device="cpu")


def test_a_subfolder_is_reported_on_as_a_model(hub: HubServer) -> None:
    published(hub, "inspected/inside", files_of(POOLED, "models/pooled/"))

    report = inspect("inspected/inside", subfolder="models/pooled")

    assert report.failures == []
    assert [module.path for module in report.modules] == ["", "1_Pooling", "2_Dense"]
    assert "folder models/pooled" in str(report).splitlines()[0]
    assert report.files == tuple(sorted(files_of(POOLED)))


def test_code_on_the_hub_is_told_with_its_commit_and_where_to_read_it(hub: HubServer, tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], {"head.py": head()})
    commit = published(hub, "inspected/code", files_of(folder))

    report = inspect("inspected/code")

    assert report.approvals == [f"inspected/code@{commit}"]
    assert f"{hub.endpoint}/inspected/code/blob/{commit}/head.py" in str(report)
    assert fetched(hub) == {"modules.json", "config_sentence_transformers.json", "head.py", "lengths.py"}


def test_code_of_another_repository_is_told_with_the_commit_to_pin(hub: HubServer, tmp_path: Path) -> None:
    commit = published(hub, "inspected/heads", {"head.py": head().encode()})
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "inspected/heads--head.Head"], {})

    report = inspect(folder)

    assert f"inspected/heads@{commit}" in report.approvals
    (note,) = [problem.text for problem in report.problems if problem.about == "note"]
    assert f"code_revision={{'inspected/heads': '{commit}'}}" in note
    assert f"code of another repository, head.py of inspected/heads at {commit}" in " ".join(str(report).split())


def test_a_report_on_what_was_downloaded_needs_no_connection(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "inspected/offline", files_of(POOLED))
    before = inspect("inspected/offline", cache_folder=tmp_path).to_json()
    CrossEncoder("inspected/offline", cache_folder=tmp_path, device="cpu")
    hub.requests.clear()

    after = inspect("inspected/offline", cache_folder=tmp_path, local_files_only=True)

    assert hub.requests == []
    assert after.failures == []
    assert {**after.to_json(), "files": None} == {**before, "files": None}


def test_what_was_not_downloaded_fails_without_a_connection(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "inspected/half", files_of(POOLED))
    inspect("inspected/half", cache_folder=tmp_path)

    report = inspect("inspected/half", cache_folder=tmp_path, local_files_only=True)

    assert [problem for problem in report.failures if "no model.safetensors" in problem.text]


def test_a_revision_is_reported_on_at_its_commit(hub: HubServer, classifier: Path) -> None:
    first = published(hub, "inspected/moved", files_of(classifier))
    keys("config_sentence_transformers.json", prompts={"query": "q: "})(classifier)
    second = hub.commit("inspected/moved", files_of(classifier))

    reports = [inspect("inspected/moved"), inspect("inspected/moved", revision=first)]

    assert [report.source.commit for report in reports] == [second, first]
    assert [report.config.prompts for report in reports if report.config] == [{"query": "q: "}, {}]


def test_a_model_that_cannot_be_had_is_refused(hub: HubServer) -> None:
    hub.add_repo("inspected/gated", gated=True)
    hub.commit("inspected/gated", files_of(POOLED))

    with pytest.raises(AccessDeniedError, match="is gated"):
        inspect("inspected/gated")
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        inspect("inspected/none")


def test_the_report_on_a_hub_model_is_json_with_its_commit(hub: HubServer, classifier: Path) -> None:
    pickled("pytorch_model.bin")(classifier)
    commit = published(hub, "inspected/json", files_of(classifier))

    values = json.loads(json.dumps(inspect("inspected/json").to_json(), allow_nan=False))

    assert values["commit"] == commit
    assert values["pickles"] == ["pytorch_model.bin"]
    assert [problem["about"] for problem in values["problems"]] == ["pickle"]
