"""What a report says of a model's load comes true: what it says fails does, for that reason, and all else loads."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from broken_cases import BROKEN, BROKEN_WITH_PEER, WHOLE
from broken_models import Case
from golden_calls import CASES, GOLDEN, decoded, recorded

from pairchain import CrossEncoder, PairchainError, PairchainWarning, Report, inspect

ALLOWS = {"trust": "trust_remote_code", "pickle": "allow_pickle"}


def report_on(folder: Path) -> Report:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return inspect(folder)


def load(folder: Path, **options: object) -> CrossEncoder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PairchainWarning)
        return CrossEncoder(folder, device="cpu", **options)


PEER = [pytest.param(case, marks=pytest.mark.peer) for case in BROKEN_WITH_PEER]


@pytest.mark.slow
@pytest.mark.parametrize("case", [*BROKEN, *PEER], ids=lambda case: case.name)
def test_what_a_report_says_fails_does(case: Case, tmp_path: Path) -> None:
    folder = case.make(tmp_path / "model")

    report = report_on(folder)

    told = [f"{problem.text}\n{problem.next_step}" for problem in report.failures if problem.about == case.about]
    assert [text for text in told if all(part in text for part in case.says)], told
    with pytest.raises((PairchainError, SyntaxError, ImportError)):
        load(folder, trust_remote_code=case.about != "trust", allow_pickle=case.about != "pickle")


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_what_a_report_does_not_say_fails_loads(case: Case, tmp_path: Path) -> None:
    folder = case.make(tmp_path / "model")

    report = report_on(folder)

    assert report.failures == []
    assert load(folder).declared_num_labels() == report.labels == 1


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_report_on_a_golden_model_says_what_it_takes_to_load_it(case: str) -> None:
    folder = GOLDEN / case / "model"
    options = decoded(recorded(case)["load"]["kwargs"], case)
    where = {"cache_folder": options["cache_folder"], "local_files_only": True} if "cache_folder" in options else {}

    report = inspect(folder, **where)

    needed = {problem.about for problem in report.failures}
    takes_pickles = recorded(case).get("ours", {}).get("load", {}).get("allow_pickle", False)
    assert needed == {*(["trust"] if case.startswith("custom_") else []), *(["pickle"] if takes_pickles else [])}
    for missing in needed:
        allowed = {ALLOWS[about]: True for about in needed - {missing}}
        with pytest.raises(PairchainError, match=f"{ALLOWS[missing]}="):
            load(folder, **where, **allowed)
    model = load(folder, trust_remote_code=report.approvals or False, allow_pickle=takes_pickles, **where)
    assert report.labels in (None, model.declared_num_labels())
    assert (report.labels is None) == case.startswith("custom_")
    if not takes_pickles:
        assert report.total.total == sum(parameter.numel() for parameter in model.parameters())
