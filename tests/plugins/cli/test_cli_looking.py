"""`pairchain inspect`, `lock` and `verify`, as typed in a shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hub_server import HubServer
from shell import pairchain as run
from traps import with_module
from warm import warm_python

import pairchain

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\u202e\"'`-->"
ROUTER = "router_by_task"


def hostile(model: Path) -> Path:
    """Write what an author could do harm with wherever a report shows text."""
    for file, change in {
        "modules.json": lambda values: values[-1].update(type=HOSTILE, kwargs=[HOSTILE]),
        "config_sentence_transformers.json": lambda values: values.update(
            prompts={HOSTILE: HOSTILE}, activation_fn=HOSTILE
        ),
        "1_Pooling/config.json": lambda values: values.update({HOSTILE: HOSTILE}),
    }.items():
        values = json.loads((model / file).read_text())
        change(values)
        (model / file).write_text(json.dumps(values))
    (model / "<b>.bin").write_text("")
    return model


# -- inspect -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_inspect_says_what_the_library_says(pooled: Path) -> None:
    ended = run("inspect", pooled)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{pairchain.inspect(pooled)}\n"


@pytest.mark.slow
def test_inspect_as_json_is_what_the_library_returns(pooled: Path) -> None:
    ended = run("inspect", pooled, "--json")
    assert json.loads(ended.out) == pairchain.inspect(pooled).to_json()


@pytest.mark.slow
def test_inspect_reads_a_repository_at_the_revision_asked_for(hub: HubServer, golden: Path) -> None:
    hub.add_repo("someone/inspected")
    first = hub.commit("someone/inspected", golden / "bert_seqcls_1label" / "model")
    hub.commit("someone/inspected", golden / "bert_seqcls_3labels" / "model")
    ended = run("inspect", "someone/inspected", "--revision", first, "--json")
    values = json.loads(ended.out)
    assert (values["commit"], values["labels"]) == (first, 1)


@pytest.mark.slow
def test_inspect_draws_a_chain_with_what_flows_through_it(pooled: Path) -> None:
    lines = run("inspect", pooled, "--mermaid").out.splitlines()
    assert lines[0] == "flowchart TD"
    assert '  m0 -->|"token_embeddings"| m1' in lines
    assert '  m1 -->|"sentence_embedding"| m2' in lines
    assert lines[-1] == "  m2 --> scores"
    assert any(line.startswith('  m2["Dense<br>pairchain-dense ') for line in lines)


@pytest.mark.slow
def test_inspect_draws_the_routes_of_a_router(golden: Path) -> None:
    lines = [line.strip() for line in run("inspect", golden / ROUTER / "model", "--mermaid").out.splitlines()]
    assert 'm0_r0(["fast"])' in lines
    assert 'm0_r1(["slow"])' in lines
    assert "m0_r0 --> m0_0" in lines
    assert lines[-1] == "m0 --> scores"


@pytest.mark.slow
def test_inspect_draws_a_checkpoint_without_a_chain(golden: Path) -> None:
    drawn = run("inspect", golden / "legacy_v3_plain_hf" / "model", "--mermaid").out
    assert "BertForSequenceClassification" in drawn
    assert "pairs --> model" in drawn


@pytest.mark.slow
def test_what_an_author_wrote_cannot_break_out_of_a_diagram(pooled: Path) -> None:
    lines = run("inspect", hostile(pooled), "--mermaid").out.splitlines()
    assert all(line.count('"') % 2 == 0 for line in lines)
    text = "\n".join(lines)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "#60;script#62;" in text


class Page(HTMLParser):
    """A page as a browser reads it: its elements, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_a_page_loads_and_runs_nothing_and_shows_what_an_author_wrote_as_text(pooled: Path, tmp_path: Path) -> None:
    ended = run("inspect", hostile(pooled), "--html", tmp_path / "page.html")
    assert (ended.status, ended.out) == (0, "")
    assert "wrote" in ended.err
    written = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(written)
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "a", "base"}
    assert page.attributes == {"class", "lang", "charset", "http-equiv", "content", "name"}
    assert "default-src 'none'" in written
    assert "</pre><script>alert(1)</script>" in page.text
    assert not any(letter in written for letter in "\x1b\u202e")
    assert "\\x1b[2J\\u202e" in page.text
    assert page.text.count("configuration") == 3
    assert list(tmp_path.glob(".page.html*")) == []


@pytest.mark.slow
def test_a_page_shows_the_code_that_a_model_brings_and_what_would_approve_it(pooled: Path) -> None:
    model = with_module(pooled, "head.Head", {"head.py": "import os\n\n\nclass Head:\n    '<b>'\n"})
    page = Page(run("inspect", model, "--html", "-").out)
    report = pairchain.inspect(model)
    (code,) = report.code.values()
    assert report.approvals[0] in page.text
    assert code.files[0].content.decode() in page.text
    assert "loads only if its code is trusted" in page.text


@pytest.mark.slow
def test_a_page_draws_each_route(golden: Path) -> None:
    page = Page(run("inspect", golden / ROUTER / "model", "--html", "-").out)
    assert page.text.count("fast") >= 1
    assert page.text.count("BertForSequenceClassification") == 2


@pytest.mark.slow
def test_one_output_at_a_time(pooled: Path) -> None:
    ended = run("inspect", pooled, "--json", "--mermaid")
    assert (ended.status, ended.out) == (2, "")
    assert "give only one" in ended.err


@pytest.mark.slow
def test_a_model_that_is_not_there_is_an_error_on_stderr(tmp_path: Path) -> None:
    ended = run("inspect", tmp_path / "nowhere", "--json")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert "nowhere" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_an_author_s_text_cannot_steer_the_terminal(pooled: Path) -> None:
    ended = run("inspect", hostile(pooled))
    assert "\\x1b[2J\\u202e" in ended.out
    assert not any(letter in ended.out + ended.err for letter in "\x1b\u202e")


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error_to_speak_of(pooled: Path) -> None:
    command = [*warm_python(), "-P", "-m", "pairchain_cli", "inspect", os.fspath(pooled), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert ended.returncode != 0
    assert ended.stderr == ""


# -- lock and verify ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_model_that_is_as_it_was_locked_verifies(pooled: Path, tmp_path: Path) -> None:
    locked = run("lock", pooled, folder=tmp_path)
    assert (locked.status, locked.out) == (0, "")
    assert "in pairchain.lock.json" in locked.err
    verified = run("verify", pooled, folder=tmp_path)
    assert (verified.status, verified.out) == (0, "")
    assert verified.err.startswith("the model matches its lock: ")
    quiet = run("--quiet", "verify", pooled, folder=tmp_path)
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.slow
def test_every_difference_is_told(pooled: Path, tmp_path: Path) -> None:
    run("lock", pooled, "-o", tmp_path / "lock")
    (pooled / "1_Pooling" / "config.json").write_text("{}")
    (pooled / "2_Dense" / "config.json").unlink()
    (pooled / "new.json").write_text("{}")
    for quietly in ((), ("--quiet",)):
        ended = run(*quietly, "verify", pooled, tmp_path / "lock")
        assert (ended.status, ended.out) == (1, "")
        for line in (
            "1_Pooling/config.json changed",
            "2_Dense/config.json is in the lock, but missing",
            "new.json is not in",
        ):
            assert line in ended.err


@pytest.mark.slow
def test_another_lock_is_replaced_with_a_word_and_another_file_is_not(pooled: Path, tmp_path: Path) -> None:
    run("lock", pooled, folder=tmp_path)
    assert "replaced" not in run("lock", pooled, folder=tmp_path).err
    copy = shutil.copytree(pooled, tmp_path / "copy")
    (copy / "1_Pooling/config.json").write_text((copy / "1_Pooling/config.json").read_text() + "\n")
    assert "replaced another lock there: 1 of " in run("lock", copy, folder=tmp_path).err
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    ended = run("lock", pooled, "-o", tmp_path / "notes.json")
    assert ended.status == 1
    assert "is not a lock" in ended.err
    assert (tmp_path / "notes.json").read_text() == '{"mine": 1}'


@pytest.mark.slow
def test_a_lock_may_go_to_a_pipe(pooled: Path, tmp_path: Path) -> None:
    ended = run("lock", pooled, "--output", "-", folder=tmp_path)
    assert json.loads(ended.out) == pairchain.lock(pooled, None).to_json()
    assert list(tmp_path.glob("*.lock.json")) == []


@pytest.mark.slow
def test_a_repository_is_verified_at_the_commit_that_was_locked(hub: HubServer, golden: Path, tmp_path: Path) -> None:
    hub.add_repo("someone/locked")
    first = hub.commit("someone/locked", golden / "bert_seqcls_1label" / "model")
    run("lock", "someone/locked", folder=tmp_path)
    hub.commit("someone/locked", golden / "bert_seqcls_3labels" / "model")
    assert run("verify", "someone/locked", folder=tmp_path).status == 0
    moved = run("verify", "someone/locked", "--revision", "main", folder=tmp_path)
    assert moved.status == 1
    assert f"not {first}" in moved.err


@pytest.mark.slow
def test_other_versions_of_plugins_are_a_warning_or_with_strict_a_difference(pooled: Path, tmp_path: Path) -> None:
    file = tmp_path / "lock"
    run("lock", pooled, "-o", file)
    values = json.loads(file.read_text())
    values["plugins"]["pairchain-dense"] = "0.0.1"
    file.write_text(json.dumps(values))
    loose = run("verify", pooled, file)
    assert loose.status == 0
    assert loose.err.startswith("warning: ")
    assert "pairchain-dense is " in loose.err
    strict = run("verify", pooled, file, "--strict")
    assert strict.status == 1
    assert "pairchain-dense is " in strict.err


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_lock_that_is_none_is_an_error(content: str | None, pooled: Path, tmp_path: Path) -> None:
    file = tmp_path / "lock"
    if content is not None:
        file.write_text(content)
    ended = run("verify", pooled, file)
    assert ended.status == 1
    assert ended.err.startswith("error: ")


def test_the_library_verifies_too(pooled: Path, tmp_path: Path) -> None:
    made = pairchain.lock(pooled, tmp_path / "lock")
    assert pairchain.verify(pooled, tmp_path / "lock") == made
    (pooled / "modules.json").write_text((pooled / "modules.json").read_text() + "\n")
    with pytest.raises(pairchain.errors.LockError, match=r"modules\.json changed"):
        pairchain.verify(pooled, made)


@pytest.mark.slow
def test_a_folder_of_links_needs_an_option_that_every_command_has(pooled: Path, tmp_path: Path) -> None:
    (pooled / "model.safetensors").rename(tmp_path / "stored")
    (pooled / "model.safetensors").symlink_to(tmp_path / "stored")
    pairs, lock = tmp_path / "pairs.jsonl", tmp_path / "lock.json"
    pairs.write_text('{"query": "a", "document": "b"}\n')
    refused = run("score", pooled, pairs)
    assert refused.status == 1
    assert f"model.safetensors -> {tmp_path / 'stored'}" in refused.err
    assert refused.err.endswith("option: --allow-links\n")
    for arguments in (
        ("score", pooled, pairs),
        ("inspect", pooled),
        ("lock", pooled, "-o", lock),
        ("verify", pooled, lock),
        ("score", pooled, pairs, "--lock", lock),
    ):
        assert run(*arguments, "--allow-links").status == 0
