"""`pairchain rerank`: runs and collections as people have them, kills, and errors that say what to do."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path

import pytest
from command import DOCUMENTS, MODEL, QUERY, SEVERAL, Ran, run, run_process
from killed_output import KILLED

from pairchain import CrossEncoder, rerank_run
from pairchain.runs import read_run, write_run

TEXTS = {f"d{number}": f"{DOCUMENTS[number % 3]} " * (1 + number // 3) for number in range(6)}
QUERIES = {f"q{number:02}": f"{QUERY} {number}" for number in range(12)}
RUN = {query: {name: float(6 - place) for place, name in enumerate(TEXTS)} for query in QUERIES}


def tsv(texts: dict[str, str]) -> str:
    return "".join(f"{name}\t{text}\n" for name, text in texts.items())


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The options that name the run and the texts."""
    write_run(RUN, tmp_path / "bm25.trec")
    (tmp_path / "queries.tsv").write_text(tsv(QUERIES))
    (tmp_path / "collection.tsv").write_text(tsv({**TEXTS, "other": "not in the run"}))
    return options(tmp_path, "bm25.trec", "queries.tsv", "collection.tsv")


def options(folder: Path, run_file: str, queries: str, documents: str) -> list[str]:
    return ["--run", f"{folder / run_file}", "--queries", f"{folder / queries}", "--documents", f"{folder / documents}"]


def rerank(*arguments: object) -> Ran:
    return run("rerank", MODEL, "--device", "cpu", *arguments)


def expected(top_k: int = 100) -> dict[str, list[str]]:
    """Return the documents of each query in the order that the library gives."""
    found = rerank_run(MODEL, RUN, QUERIES, TEXTS, top_k=top_k)
    return {query: [*some] for query, some in found.items()}


def order_in(path: Path) -> dict[str, list[str]]:
    return {query: [*some] for query, some in read_run(path).items()}


def test_the_run_is_what_the_library_gives_in_a_file_and_on_stdout(files: list[str], tmp_path: Path) -> None:
    done = rerank(*files, "-k", 4, "--tag", "mini", "-o", tmp_path / "out.trec")
    assert (done.code, done.out) == (0, "")
    assert order_in(tmp_path / "out.trec") == expected(4)
    lines = [line.split() for line in (tmp_path / "out.trec").read_text().splitlines()]
    assert {(line[1], line[5]) for line in lines} == {("Q0", "mini")}
    assert [line[3] for line in lines] == ["1", "2", "3", "4"] * len(QUERIES)
    assert rerank(*files, "-k", 4, "--tag", "mini").out == (tmp_path / "out.trec").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bm25.trec",
        "collection.tsv",
        "out.trec",
        "queries.tsv",
    ]


def test_compressed_files_a_run_of_ms_marco_and_jsonl_are_read(files: list[str], tmp_path: Path) -> None:
    lines = [f"{query}\t{name}\t{rank}\n" for query in RUN for rank, name in enumerate(TEXTS, 1)]
    texts = [json.dumps({"id": name, "contents": text}) + "\n" for name, text in TEXTS.items()]
    for name, content in (("run.tsv.gz", "".join(lines)), ("q.tsv.gz", tsv(QUERIES)), ("c.jsonl.gz", "".join(texts))):
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    done = rerank(*options(tmp_path, "run.tsv.gz", "q.tsv.gz", "c.jsonl.gz"), "-o", tmp_path / "out.trec")
    assert done.code == 0, done.err
    assert order_in(tmp_path / "out.trec") == expected()


def test_a_folder_of_beir_is_read_as_an_option_and_in_place_of_files(tmp_path: Path) -> None:
    write_run(RUN, tmp_path / "bm25.trec")
    titled = [{"_id": name, "title": text.split()[0], "text": text.partition(" ")[2]} for name, text in TEXTS.items()]
    asked = [{"_id": name, "text": text, "metadata": {}} for name, text in QUERIES.items()]
    for name, rows in (("corpus", titled), ("queries", asked)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for place in (["--beir", tmp_path], ["--queries", tmp_path, "--documents", tmp_path]):
        done = rerank("--run", tmp_path / "bm25.trec", *place, "-o", tmp_path / "out.trec")
        assert done.code == 0, done.err
        assert order_in(tmp_path / "out.trec") == expected()
    done = rerank("--run", tmp_path / "bm25.trec", "--beir", tmp_path, "--no-titles")
    assert done.code == 0
    assert done.out != (tmp_path / "out.trec").read_text()


@pytest.mark.slow
def test_a_killed_run_goes_on_with_resume_and_gives_what_it_would_have_given(files: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out.trec"
    killed = run_process("rerank", MODEL, "--device", "cpu", *files, "-o", output, before=KILLED)
    assert killed.code == -signal.SIGKILL
    assert not output.exists()
    journal = json.loads((tmp_path / "out.trec.part.json").read_text())
    # whole queries, of six documents each
    assert 0 < journal["rows"] < 72
    assert journal["rows"] % 6 == 0
    refused = rerank(*files, "-o", output)
    assert refused.code == 1
    assert "--resume" in refused.err
    other = rerank(*files, "-o", output, "--resume", "-k", 3)
    assert other.code == 1
    assert "--top-k was 100 and is 3" in other.err
    assert rerank(*files, "-o", output, "--resume").code == 0
    assert order_in(output) == expected()
    again = rerank(*files, "-o", output, "--resume")
    assert again.code == 0
    assert "already complete" in again.err
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("bm25.trec", "q00 Q0 d1 1 2\n", "bm25.trec, line 1: found 5 fields"),
        ("bm25.trec", "q00 Q0 d1 1 2 t\nq00 Q0 d1 2 1 t\n", "bm25.trec, line 2: the document 'd1'"),
        ("bm25.trec", "q00 Q0 d9 1 2 t\n", "bm25.trec, line 1: the document 'd9' has no text in"),
        ("bm25.trec", "qx Q0 d1 1 2 t\n", "bm25.trec, line 1: the query 'qx' has no text in"),
        ("bm25.trec", "", "has no results"),
        ("collection.tsv", "d0\tx\nd1\n", "collection.tsv, line 2: found 1 tab-separated field,"),
        ("queries.tsv", "q00\tx\nq00\ty\n", "queries.tsv, line 2: the id 'q00' is on line 1 too"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_line_and_what_to_do(
    files: list[str], tmp_path: Path, file: str, text: str, said: str
) -> None:
    (tmp_path / file).write_text(text)
    done = rerank(*files, "-o", tmp_path / "out.trec")
    assert done.code == 1
    assert said in done.err
    assert "next:" in done.err
    assert not (tmp_path / "out.trec").exists()


def test_with_on_error_skip_what_cannot_be_used_is_left_out_and_told(files: list[str], tmp_path: Path) -> None:
    with (tmp_path / "bm25.trec").open("a") as lines:
        lines.write("q00 Q0 d99 7 0.5 t\nq00 Q0 short\nqx Q0 d1 1 1 t\n")
    stopped = rerank(*files)
    assert stopped.code == 1
    (tmp_path / "bm25.trec").write_text((tmp_path / "bm25.trec").read_text().replace("q00 Q0 short\n", ""))
    missing = rerank(*files)
    assert missing.code == 1
    assert "--on-error skip" in missing.err
    with (tmp_path / "bm25.trec").open("a") as lines:
        lines.write("q00 Q0 short\n")
    done = rerank(*files, "--on-error", "skip", "-o", tmp_path / "out.trec")
    assert done.code == 0, done.err
    for told in ("found 3 fields", "the document 'd99' has no text in", "the query 'qx' has no text in"):
        assert told in done.err
    assert order_in(tmp_path / "out.trec") == expected()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume"], "stdout cannot be resumed"),
        (["--tag", "two words"], "cannot name a run"),
        (["-o", "out.trec.gz"], "compress it afterwards"),
    ],
)
def test_options_that_do_not_fit_are_told(files: list[str], arguments: list[str], said: str) -> None:
    done = rerank(*files, *arguments)
    assert done.code in (1, 2)
    assert said in done.err


def test_texts_that_no_option_names_and_an_output_that_is_an_input_are_told(files: list[str], tmp_path: Path) -> None:
    done = rerank(*files[:4])
    assert done.code == 2
    assert "--documents" in done.err
    assert "--beir" in done.err
    before = (tmp_path / "bm25.trec").read_text()
    done = rerank(*files, "-o", tmp_path / "bm25.trec")
    assert done.code == 1
    assert "is also an input" in done.err
    assert (tmp_path / "bm25.trec").read_text() == before


def test_scores_that_no_run_can_hold_are_left_out_and_told(files: list[str], tmp_path: Path) -> None:
    model = CrossEncoder(MODEL, device="cpu")
    for weight in model.parameters():
        weight.data.fill_(float("nan"))
    model.save_pretrained(tmp_path / "nan")
    refused = run("rerank", tmp_path / "nan", "--device", "cpu", *files)
    assert refused.code == 1
    assert "NaN or infinite" in refused.err
    done = run("rerank", tmp_path / "nan", "--device", "cpu", *files, "--allow-non-finite")
    assert (done.code, done.out) == (0, "")
    assert "left out 72 lines and documents in all" in done.err


@pytest.mark.parametrize("name", ["collection.parquet", "collection.csv.gz"])
def test_a_format_of_another_kind_is_told(files: list[str], tmp_path: Path, name: str) -> None:
    done = rerank(*files[:4], "--documents", tmp_path / name)
    assert done.code == 1
    assert name in done.err
    assert "jsonl" in done.err


def test_a_model_with_several_labels_makes_no_run(files: list[str]) -> None:
    done = run("rerank", SEVERAL, *files)
    assert done.code == 1
    assert "gives 3" in done.err
