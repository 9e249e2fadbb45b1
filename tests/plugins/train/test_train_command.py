"""`pairchain train`: what it makes, what it refuses, and that a killed training goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from command import MODEL, run
from training import PAIRS, ROWS

from pairchain import CrossEncoder
from pairchain.testing import CommandContract

SHORT = ("--learning-rate", "0.01", "--pairs-per-update", "8", "--device", "cpu", "--loss", "ranknet")


@pytest.mark.slow
class TestTrain(CommandContract):
    name = "train"
    examples = (["--help"],)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def test_a_model_is_trained_and_its_metrics_are_told(data: Path, tmp_path: Path) -> None:
    ran = run("train", MODEL, data, "--dev", data, "-o", tmp_path / "out", *SHORT, "--epochs", "3", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["updates"] == 15
    metric = told["metrics"]["nDCG@10"]
    assert metric["after"] > metric["before"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out", "train.jsonl"]
    assert "training for 15 updates" in ran.err
    card = (tmp_path / "out/README.md").read_text()
    assert "`train.jsonl`: 5 lists, 40 pairs" in card
    assert f"| 15 | {metric['after']:.4f}" in card
    assert CrossEncoder(tmp_path / "out", device="cpu").predict(PAIRS).shape == (40,)
    again = run("train", MODEL, data, "-o", tmp_path / "out", *SHORT)
    assert (again.code, again.out) == (1, "")
    assert "exists and is not empty" in again.err
    complete = run("train", MODEL, data, "-o", tmp_path / "out", *SHORT, "--resume")
    assert (complete.code, complete.out) == (0, "")
    assert "already complete" in complete.err
    assert "# out\n" in card
    assert f'CrossEncoder("{tmp_path / "out"}"' in card


def test_parts_are_frozen_and_adapters_saved(data: Path, tmp_path: Path) -> None:
    options = ("--max-updates", "2", "--device", "cpu")
    assert run("train", MODEL, data, "-o", tmp_path / "a", "--train-only", "0.model.classifier", *options).code == 0
    before, after = (CrossEncoder(place, device="cpu").state_dict() for place in (MODEL, tmp_path / "a"))
    assert [name for name in before if not torch.equal(before[name], after[name])] == [
        "0.model.classifier.weight",
        "0.model.classifier.bias",
    ]
    given = ("--lora", "2", "--lora-target", "query", "--save-adapter", "--bf16")
    assert run("train", MODEL, data, "-o", tmp_path / "b", *given, *options).code == 0
    assert (tmp_path / "b/adapter_config.json").is_file()


def test_a_run_with_judgements_is_data(tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text("".join(f"q{q} Q0 d{d} {d} {9 - d} x\n" for q in range(3) for d in range(5)))
    (tmp_path / "a.qrels").write_text("".join(f"q{q} 0 d{q} 1\n" for q in range(3)))
    (tmp_path / "queries.tsv").write_text("".join(f"q{q}\tquery {q}\n" for q in range(3)))
    (tmp_path / "documents.tsv").write_text("".join(f"d{d}\tberlin {d}\n" for d in range(5)))
    texts = ("--queries", tmp_path / "queries.tsv", "--documents", tmp_path / "documents.tsv")
    place = f"{tmp_path / 'a.run'}+{tmp_path / 'a.qrels'}"
    given = (place, "--dev", place, *texts, "--negatives", "2", "--metrics", "RR,P@1", *SHORT, "--json")
    ran = run("train", MODEL, *given, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["metrics"].keys() == {"RR", "P@1"}
    assert "3 lists, 9 pairs" in (tmp_path / "out/README.md").read_text()
    ran = run("train", MODEL, *given[:3], *SHORT, "-o", tmp_path / "other")
    assert (ran.code, "add --queries FILE" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--loss", "rankent"], 1, "did you mean 'ranknet'"),
        (["--loss-option", "sigma"], 2, "is not KEY=NUMBER"),
        (["--loss", "ranknet", "--loss-option", "mu=1"], 1, "it has sigma"),
        (["--freeze", "0.model.brt"], 1, "no part of the chain"),
        (["--save-adapter"], 1, "add --lora RANK"),
        (["--dev", "none.jsonl"], 1, "there is no file"),
    ],
)
def test_wrong_options_are_refused_and_leave_nothing(
    options: list[str], status: int, said: str, data: Path, tmp_path: Path
) -> None:
    ran = run("train", MODEL, data, "-o", tmp_path / "out", "--device", "cpu", *options)
    assert (ran.code, ran.out) == (status, "")
    assert said in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    given = [str(MODEL), str(data), *SHORT, "--epochs", "12", "--every", "6"]
    whole = run("train", *given, "-o", tmp_path / "whole")
    assert whole.code == 0, whole.err
    out, unfinished = tmp_path / "out", tmp_path / "out.unfinished"
    command = [sys.executable, "-m", "pairchain_cli", "train", *given, "-o", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not list(unfinished.glob("checkpoint-*/training_complete")):
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not out.exists()

    begun = run("train", *given, "-o", out)
    assert (begun.code, "add --resume" in begun.err) == (1, True)
    other = run("train", *given, "-o", out, "--resume", "--seed", "7")
    assert (other.code, "--seed was 42" in other.err) == (1, True)
    resumed = run("train", *given, "-o", out, "--resume")
    assert resumed.code == 0, resumed.err
    assert "of them done before" in resumed.err
    assert not unfinished.exists()
    before, after = (scores(place) for place in (tmp_path / "whole", out))
    assert before == after


def scores(place: Path) -> Any:
    return CrossEncoder(place, device="cpu").predict(PAIRS).tolist()
