"""`pairchain rank` puts documents in order, wherever they come from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from command import DOCUMENTS, MODEL, QUERY, SEVERAL, json_lines, run, run_process, scores_of
from hub_server import HubServer


def expected() -> list[str]:
    scores = scores_of([{"query": QUERY, "document": document} for document in DOCUMENTS])
    return [document for _, document in sorted(zip(scores, DOCUMENTS, strict=True), reverse=True)]


def ranked(*arguments: object, stdin: bytes | str = b"") -> list[str]:
    done = run("rank", MODEL, QUERY, *arguments, stdin=stdin)
    assert (done.code, done.err) == (0, "")
    return [row["document"] for row in done.rows]


def test_documents_come_as_arguments_the_best_first() -> None:
    assert ranked(*DOCUMENTS) == expected()
    assert ranked(*DOCUMENTS, "--top-k", 2) == expected()[:2]


def test_documents_come_from_stdin_a_line_each() -> None:
    assert ranked(stdin="\n".join(DOCUMENTS)) == expected()
    assert ranked("-", stdin="\r\n".join(DOCUMENTS) + "\r\n\r\n") == expected()


def test_documents_come_from_files_of_every_kind_and_keep_what_is_beside_them(tmp_path: Path) -> None:
    rows = [{"id": number, "text": document} for number, document in enumerate(DOCUMENTS)]
    (tmp_path / "docs.txt").write_text("\ufeff" + "\n".join(DOCUMENTS))
    (tmp_path / "docs.jsonl").write_text(json_lines(rows))
    with (tmp_path / "docs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "docs.parquet")
    assert ranked(tmp_path / "docs.txt") == expected()
    for ending in ("jsonl", "csv", "parquet"):
        found = run("rank", MODEL, QUERY, tmp_path / f"docs.{ending}", "--document-column", "text").rows
        assert [row["text"] for row in found] == expected()
        assert [DOCUMENTS[int(row["id"])] for row in found] == expected()


def test_texts_and_files_mix(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text(DOCUMENTS[1] + "\n")
    assert ranked(DOCUMENTS[0], tmp_path / "docs.txt", "-", stdin=DOCUMENTS[2]) == expected()


def test_a_file_that_is_not_there_is_an_error_and_no_document() -> None:
    missing = run("rank", MODEL, QUERY, "docs.txt")
    assert missing.code == 1
    assert "cannot read 'docs.txt': No such file" in missing.err


@pytest.mark.parametrize("name", ["absent.json", "absent.md", "notes.log", "notes.txt.xz"])
def test_a_file_that_is_not_read_is_an_error_and_no_document(name: str, tmp_path: Path) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_text("berlin\n")
    ended = run("rank", MODEL, "berlin", tmp_path / name)
    assert ended.code == 1
    assert name in ended.err
    assert not ended.out


def test_a_file_of_another_kind_is_read_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("berlin\nparis\n")
    ended = run("rank", MODEL, "berlin", tmp_path / "notes.log", "--input-format", "txt")
    assert sorted(row["document"] for row in ended.rows) == ["berlin", "paris"]


def test_equal_documents_keep_their_order() -> None:
    given = json_lines({"id": number, "document": DOCUMENTS[0]} for number in range(5))
    assert [row["id"] for row in run("rank", MODEL, QUERY, "--top-k", 3, stdin=given).rows] == [0, 1, 2]


def test_scores_are_those_of_the_library() -> None:
    rows = run("rank", MODEL, QUERY, *DOCUMENTS).rows
    assert [row["score"] for row in rows] == pytest.approx(
        scores_of([{"query": QUERY, **row} for row in rows]), abs=1e-6
    )


def test_a_table_is_for_reading() -> None:
    lines = run("rank", MODEL, QUERY, *DOCUMENTS, "two\nlines \x1b[31m", "--format", "table").out.splitlines()
    assert lines[0].split() == ["#", "score", "document"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert any("two lines \\x1b[31m" in line for line in lines)


def test_ranks_are_written_as_csv_and_parquet(tmp_path: Path) -> None:
    text = run("rank", MODEL, QUERY, *DOCUMENTS, "--format", "csv").out
    assert [row["document"] for row in csv.DictReader(io.StringIO(text))] == expected()
    assert run("rank", MODEL, QUERY, *DOCUMENTS, "-o", tmp_path / "best.parquet").code == 0
    assert pyarrow.parquet.read_table(tmp_path / "best.parquet")["document"].to_pylist() == expected()


def test_nothing_to_rank_is_nothing_ranked(tmp_path: Path) -> None:
    nothing = run("rank", MODEL, QUERY, stdin=b"")
    assert (nothing.code, nothing.out) == (0, "")
    assert run("rank", MODEL, QUERY, "-o", tmp_path / "best.csv", stdin=b"").code == 0
    assert (tmp_path / "best.csv").read_text() == "document,score\n"


def test_a_model_with_several_scores_does_not_rank() -> None:
    refused = run("rank", SEVERAL, QUERY, *DOCUMENTS)
    assert refused.code == 1
    assert "this model gives 3" in refused.err
    assert "pairchain score" in refused.err


def test_a_failed_run_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    output = tmp_path / "best.jsonl"
    output.write_text("mine\n")
    assert run("rank", MODEL, QUERY, "-o", output, stdin='{"text": "x"}\n').code == 1
    assert output.read_text() == "mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["best.jsonl"]


def test_code_of_the_model_runs_when_it_is_approved_exactly(golden: Path) -> None:
    model = golden / "custom_temperature_module" / "model"
    refused = run("rank", model, QUERY, *DOCUMENTS)
    assert refused.code == 1
    approval = refused.err.rpartition("--trust-remote-code ")[2].strip().rstrip(".")
    assert approval.startswith("sha256:")
    assert len(run("rank", model, QUERY, *DOCUMENTS, "--trust-remote-code", approval).rows) == 3
    assert len(run("rank", model, QUERY, *DOCUMENTS, "--trust-remote-code", "any").rows) == 3
    assert run("rank", model, QUERY, *DOCUMENTS, "--trust-remote-code", f"sha256:{'0' * 64}").code == 1


def test_a_model_of_the_hub_is_taken_at_a_revision(hub: HubServer, golden: Path) -> None:
    hub.add_repo("me/ranker")
    commit = hub.commit("me/ranker", golden / "bert_seqcls_1label" / "model", revision="v1")
    assert len(run("rank", "me/ranker", QUERY, *DOCUMENTS, "--revision", "v1").rows) == 3
    assert len(run("rank", "me/ranker", QUERY, *DOCUMENTS, "--revision", commit).rows) == 3
    wrong = run("rank", "me/ranker", QUERY, *DOCUMENTS, "--revision", "v2")
    assert wrong.code == 1
    assert "has no revision 'v2'" in wrong.err


def test_what_the_library_calls_arguments_the_shell_calls_options(pooled: Path) -> None:
    wrong = run("rank", MODEL, QUERY, *DOCUMENTS, "--device", "gpu")
    assert wrong.code == 1
    assert "device is 'gpu', which this machine does not have" in wrong.err
    assert "choose from cpu" in wrong.err
    assert "there is no dtype 'half_a_byte'" in run("rank", MODEL, QUERY, "x", "--dtype", "half_a_byte").err


def test_an_installed_backend_runs_the_model_and_another_name_is_refused() -> None:
    assert ranked(*DOCUMENTS, "--backend", "transformers") == expected()
    wrong = run("rank", MODEL, QUERY, *DOCUMENTS, "--backend", "transformer")
    assert wrong.code == 1
    assert "'transformer'" in wrong.err
    assert "'transformers'" in wrong.err
    assert wrong.err.splitlines()[-1].endswith("--backend")


@pytest.mark.slow
def test_help_comes_without_torch() -> None:
    heavy = {"torch", "transformers", "numpy", "pyarrow"}
    see = f"import atexit, sys\natexit.register(lambda: print(sorted({heavy} & sys.modules.keys())))"
    for arguments in (["--help"], ["rank", "--help"], ["score", "--help"], ["--version"]):
        helped = run_process(*arguments, before=see, is_new=True)
        assert helped.code == 0
        assert helped.out.splitlines()[-1] == "[]"
    assert "--top-k" in run("rank", "--help").out


def test_misuse_is_told_with_2() -> None:
    assert run("rank", MODEL).code == 2
    assert run("rank", MODEL, QUERY, "x", "--top-k", 0).code == 2
    assert run("rank", MODEL, QUERY, "x", "--no-such-option").code == 2
    assert run("score", MODEL, "pairs.csv", "--delimiter", "ab").code == 2


def test_json_of_a_document_may_be_written_as_text(tmp_path: Path) -> None:
    line = json.dumps({"kind": "raw"})
    assert ranked("--input-format", "txt", stdin=line + "\n") == [line]
