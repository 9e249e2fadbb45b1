"""The author's kit: broken modules fail their contract with words that say what is broken, and right ones pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from warm import warm_python

pytestmark = pytest.mark.slow

KIT = Path(__file__).parents[1] / "kit"
SUPPORT = Path(__file__).parents[1] / "support"
GUIDE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"

# For each broken module: the check that it fails, and what that says.
BROKEN = {
    "ForgetsASetting": ("saved_one_computes", "temperature was 2.0 and is 1.0", "name it in config_keys"),
    "ForgetsItsWeights": ("saved_one_computes", "the weights scale are others", "saves_weights = True"),
    "PoolsPadding": ("alone_as_beside", "wrote 'sentence_embedding' of pair 1 differently", "attention_mask"),
    "LooksAtTheBatch": ("alone_as_beside", "wrote 'scores' of pair 0 differently", "each row by itself"),
    "ReadsMoreThanItSays": ("what_it_declares", "reads 'weight', which it does not declare", "add 'weight' to `reads`"),
    "DeclaresWhatItDoesNot": ("what_it_declares", "that it reads 'scores', and never did", "out of `reads`"),
    "WritesLessThanItSays": ("what_it_declares", "that it writes 'norm', and did not", "set features['norm']"),
    "DropsFeaturesAndMiscounts": ("features_of_others", "without 'feature_of_another_module'", "return features"),
    "ChangesInPlace": ("features_of_others", "changed 'sentence_embedding' in place", "instead of"),
    "LeavesATensorBehind": ("another_device", "its tensor 'weight' stayed where it was", 'register_buffer("weight"'),
    "MakesTensorsOnTheCpu": ("another_device", "does not compute on the device", "device=x.device"),
    "KeepsWhatJsonCannotSay": ("configuration_is_json", "it would come back as {'1': 'one'}", "texts as keys"),
    "NeverGetsItsKeyword": ("keyword_arguments", "takes 'scale', which forward_kwargs does not", "= {'scale'}"),
    "AsksForAKeywordThatItDoesNotTake": ("keyword_arguments", "names 'shift', which its forward", "let forward take"),
    "CannotDoWithoutItsKeyword": ("scores_pairs", "forward cannot do without 'scale'", "give it a default"),
    "IsRandom": ("the_same_again", "wrote 'scores' differently for the same features", "torch.nn.Dropout"),
    "NamesWithATextWhereASetBelongs": ("it_is_a_module", "reads is the text 'scores'", "reads = frozenset({'scores'})"),
    "IsNotRegistered": ("plugin_registers", "which no installed plugin registers", '[project.entry-points."pairchain'),
    "LoadsAnother": ("saved_one_computes", "Fixed.load returned a Temperature", "returns cls("),
    "NeedsThisProcess": ("fresh_process", "a fresh process could not load it", "KeyError: 2.0"),
    "MistakesAPart": ("part_of_a_feature", "differently from Part(position='last'", "out of reads_part"),
    "ChangesAPartInPlace": ("part_of_a_feature", "forward changed Part(position='last'", "instead of"),
    "ScoresInWholeNumbers": ("what_it_declares", "wrote 'scores' of dtype torch.int64", "scores.float()"),
    "ComputesInOneDtype": ("other_dtypes", "in torch.float32 after module.to(torch.float64)", "result.to(x.dtype)"),
    "IgnoresItsKeyword": ("keyword_arguments", "names 'scale', which its forward never reads", "let forward use it"),
    "LooksForAKeywordThatItDoesNotName": ("keyword_arguments", "takes 'scale', which forward_kwargs", "= {'scale'}"),
    "TakesPositionZeroForTheFirstToken": ("alone_as_beside", "padded before its tokens", "not always position 0"),
    "LeavesOpenWhatItReads": ("what_it_declares", "reads of Inheriting does not count", "that defines forward"),
    "KeepsABatchInTheInstance": ("threads_compute_at_once", "while other threads called forward", "local variables"),
    "HasNoFactory": ("scores_pairs", "TestHasNoFactory has no make_module", "def make_module(self)"),
}
BROKEN_INPUT = {
    "LosesThePrompt": ("prompt_is_not_lost", "computed the same with the prompt", "before the first text"),
    "PutsNoneBeforeEachPair": ("prompt_is_not_lost", "something else for an empty prompt", '`prompt or ""`'),
    "EncodesAndDoesNotCollate": ("encode_and_collate", "has encode, and not collate", "write the other one"),
    "CollatesOtherwiseThanItPreprocesses": (
        "encode_and_collate",
        "wrote 'attention_mask' of pair 0 differently after",
        "self.collate(",
    ),
    "IgnoresItsLimitAndCrashesAtNothing": ("long_pair_is_cut", "with max_seq_length = 8", "in preprocess"),
    "NamesModalitiesWithAText": ("modalities", "modalities is 'text'", '["text"]'),
    "IsTriedAsALaterModule": ("the_same_again", "no features could be made up for Bytes", "InputModuleContract"),
}
MORE = [
    ("DropsFeaturesAndMiscounts", "what_it_declares", "num_labels is 2, and it wrote 1"),
    ("LeavesATensorBehind", "other_dtypes", "raised an error after module.to(torch.float64)"),
    ("LooksAtTheBatch", "scores_pairs", "scored pairs differently together and one pair at a time"),
    ("IgnoresItsLimitAndCrashesAtNothing", "encode_and_collate", "preprocess takes 'limit', and its encode does not"),
    ("IgnoresItsLimitAndCrashesAtNothing", "odd_pairs", "could not take the pair ('', ''): IndexError: no first text"),
]

Verdicts = Mapping[tuple[str, str], str]


def run_as_an_author(file: Path, folder: Path, *options: str) -> Verdicts:
    """Return what pytest says of each check in a copy of ``file``, nothing for one that passes."""
    if file.parent != folder:
        shutil.copy(file, folder)
    report = folder / "report.xml"
    command = [*warm_python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    subprocess.run(
        [*command, "-p", "warm.contracts", f"--junitxml={report}", *options, file.name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        capture_output=True,
    )
    return {
        (case.attrib["classname"].rpartition(".Test")[2], case.attrib["name"]): "".join(
            f"{node.attrib['message']}\n{node.text}" for node in case if node.tag in ("failure", "error")
        )
        for case in ElementTree.parse(report).iter("testcase")
    }


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    options = ("-k", "not fresh_process or NeedsThisProcess")
    files = ("broken_modules.py", "broken_input_modules.py")
    return {
        key: said
        for file in files
        for key, said in run_as_an_author(KIT / file, tmp_path_factory.mktemp("author"), *options).items()
    }


def said_of(verdicts: Verdicts, module: str, check: str) -> str:
    (found,) = (said for (name, test), said in verdicts.items() if name == module and check in test)
    return found


@pytest.mark.parametrize("module", [*BROKEN, *BROKEN_INPUT])
def test_what_is_broken_is_said_with_what_to_do(verdicts: Verdicts, module: str) -> None:
    check, did, next_step = {**BROKEN, **BROKEN_INPUT}[module]
    said = said_of(verdicts, module, check)
    assert did in said
    assert next_step in said
    assert "expected: " in said
    assert "next:     " in said


@pytest.mark.parametrize(("module", "check", "did"), MORE)
def test_one_fault_may_be_seen_by_several_checks(verdicts: Verdicts, module: str, check: str, did: str) -> None:
    assert did in said_of(verdicts, module, check)


def test_a_module_that_is_right_passes_every_check(verdicts: Verdicts) -> None:
    assert {test: said for (name, test), said in verdicts.items() if name == "Right" and said} == {}
    assert sum(name == "Right" for name, _ in verdicts) > 15


def test_a_fault_is_told_by_the_checks_that_it_concerns_and_no_others(verdicts: Verdicts) -> None:
    failed = {test for (name, test), said in verdicts.items() if name == "ChangesInPlace" and said}
    assert failed == {"test_it_leaves_the_features_of_others_as_they_were"}


def test_the_modules_of_the_authors_guide_keep_their_contracts(tmp_path: Path) -> None:
    # a backend and a command have contracts of other kinds, which need a plugin
    modules = GUIDE.read_text(encoding="utf-8").partition("\n## Backends")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", modules, re.MULTILINE | re.DOTALL)
    (tmp_path / "guide.py").write_text("\n".join(block for block in blocks if "\nclass " in block), encoding="utf-8")
    checks = run_as_an_author(tmp_path / "guide.py", tmp_path)
    assert {name for name, _ in checks} == {"Temperature", "Bytes", "Hooks"}
    assert {check: said for check, said in checks.items() if said} == {}


def test_without_pytest_the_kit_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text("raise ModuleNotFoundError(\"No module named 'pytest'\")")
    run = subprocess.run(
        [sys.executable, "-c", "import pairchain.testing"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "MissingPackageError: pairchain.testing needs pytest, which is not installed." in run.stderr
    assert "pip install 'pairchain-core[testing]'" in run.stderr


def test_nothing_else_of_the_core_needs_pytest() -> None:
    program = (
        "import sys, pairchain, pairchain.cross_encoder, pairchain.looking.pinning; print('pytest' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
