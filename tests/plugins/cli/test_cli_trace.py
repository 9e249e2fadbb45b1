"""``pairchain trace`` shows in a shell what scoring does."""

from __future__ import annotations

import json
from pathlib import Path

from command import run
from typer.testing import CliRunner

from pairchain_cli.main import app

DOCUMENTS = ["about 3 . 5 million", "berlin is known for its museums ."]


def shell(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["trace", *arguments], catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.stdout


def test_a_shell_shows_the_steps_of_a_query_and_its_documents(golden: Path) -> None:
    shown = shell(str(golden / "pooling_cls" / "model"), "how many people live in berlin ?", *DOCUMENTS)

    assert "2 pairs, scored in" in shown
    assert "encode Transformer" in shown
    assert "1 Pooling" in shown


def test_a_shell_saves_a_trace_for_perfetto(golden: Path, tmp_path: Path) -> None:
    model = str(golden / "bert_seqcls_1label" / "model")

    shell(model, "berlin ?", *DOCUMENTS, "--first", "--save", str(tmp_path / "trace.json"))

    saved = json.loads((tmp_path / "trace.json").read_text())
    assert saved["otherData"]["pairs"] == 2


def test_documents_come_from_files_and_options_are_those_of_rank(golden: Path, tmp_path: Path) -> None:
    model = golden / "bert_seqcls_1label" / "model"
    (tmp_path / "documents.csv").write_text("id,text\n1,about three\n2,a planet\n")
    options = ("--document-column", "text", "--batch-size", "1", "--max-length", "16", "--activation", "identity")

    traced = run("trace", model, "berlin ?", "a text", tmp_path / "documents.csv", *options)

    assert traced.code == 0
    assert "3 pairs, scored in" in traced.out
    assert "activation Identity" in traced.out
    batches = [line for line in traced.out.splitlines() if line.strip().startswith(("1 ", "2 ", "3 "))]
    assert len(batches) >= 3
    assert "2 pairs, scored in" in run("trace", model, "berlin ?", "-", stdin="\n".join(DOCUMENTS)).out


def test_several_devices_are_refused_where_one_is_used(golden: Path) -> None:
    model = golden / "bert_seqcls_1label" / "model"
    for command in (("trace", model, "q", "d"), ("view", model, "--no-open"), ("compare", model)):
        ended = run(*command, "--device", "cpu", "--device", "meta")
        assert ended.code == 1
        assert "uses one device" in ended.err
