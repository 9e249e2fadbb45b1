"""A report on a model says what it is made of, who provides each part and what it would run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from broken_models import entry, keys, pickled, text
from custom_models import head, save_by_hand
from golden_calls import CASES, GOLDEN
from letters import Difference, Letters, save_letters
from tiny_models import save_tiny

from pairchain import Report, inspect

CUSTOM = GOLDEN / "custom_temperature_module" / "model"


def copy_of(case: str, folder: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / case / "model", folder / case))


def said_of(report: Report, about: str) -> list[str]:
    return [f"{problem.text}\n{problem.next_step}" for problem in report.problems if problem.about == about]


def test_each_module_is_told_with_its_plugin_weights_configuration_and_scores() -> None:
    report = inspect(GOLDEN / "pooling_mean" / "model")

    transformer, pooling, dense = report.modules
    assert [module.path for module in report.modules] == ["", "1_Pooling", "2_Dense"]
    plugins = [module.provider.plugin for module in report.modules if module.provider]
    assert [plugin.distribution for plugin in plugins if plugin] == [
        "pairchain-transformer",
        "pairchain-pooling",
        "pairchain-dense",
    ]
    assert transformer.facts.summary == "BertModel (bert)"
    assert transformer.config["transformer_task"] == "feature-extraction"
    assert pooling.config == {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True}
    assert pooling.weights is None
    assert dense.weights is not None
    assert (dense.weights.parameters, dense.weights.bytes) == ({"F32": 33}, 132)
    assert [module.labels for module in report.modules] == [None, None, 1]
    assert (report.labels, report.failures, report.code) == (1, [], {})


def test_a_router_is_told_with_its_routes_and_the_modules_in_them() -> None:
    (router,) = inspect(GOLDEN / "router_with_vlm" / "model").modules

    assert [module.path for module in router.modules] == ["text_0_Transformer", "vlm_0_Transformer", "vlm_1_LogitScore"]
    assert router.facts.summary == (
        "text → text_0_Transformer; vlm → vlm_0_Transformer → vlm_1_LogitScore; default vlm"
    )
    assert [module.labels for module in router.walk()] == [1, 1, None, 1]


def test_a_bare_checkpoint_is_told_with_the_plugin_that_makes_a_chain_of_it(tmp_path: Path) -> None:
    report = inspect(save_tiny(tmp_path, "distilbert", "ForSequenceClassification", num_labels=4))

    assert (report.modules, report.proposed_by, report.labels) == ((), "pairchain-transformer", 4)
    assert report.facts.summary == "DistilBertForSequenceClassification (distilbert)"
    assert report.weights is not None
    assert "a bare checkpoint" in str(report)
    assert report.failures == []


def test_a_type_can_be_code_beside_the_model() -> None:
    report = inspect(CUSTOM)

    (code,) = report.code.values()
    (file,) = code.files
    assert file.path == "temperature_logit_score.py"
    assert file.imports == ("sentence_transformers.cross_encoder.modules", "torch")
    assert report.approvals == [f"sha256:{code.digest}"]
    (problem,) = report.failures
    assert problem.about == "trust"
    assert report.approvals[0] in problem.next_step
    assert report.other_code == []


def test_a_type_can_be_a_class_that_the_caller_passes(tmp_path: Path) -> None:
    folder = save_letters(tmp_path / "model", kwargs=["scale"])

    assert [module.provider for module in inspect(folder).modules] == [None, None]
    report = inspect(folder, module_classes={"letters.Letters": Letters, "letters.Difference": Difference})

    assert [module.provider.given for module in report.modules if module.provider] == [Letters, Difference]
    assert report.failures == []
    assert report.modules[1].kwargs == ("scale",)
    assert "the class that you pass" in str(report)


@pytest.mark.peer
def test_a_type_can_be_one_of_the_installed_sentence_transformers(tmp_path: Path) -> None:
    folder = copy_of("pooling_mean", tmp_path)
    entry(1, type="sentence_transformers.models.WeightedLayerPooling")(folder)

    report = inspect(folder)

    assert report.modules[1].library == "sentence-transformers"
    assert report.failures == []
    assert "by       sentence-transformers " in str(report)


def test_a_type_that_nobody_provides_comes_with_what_to_install(tmp_path: Path) -> None:
    folder = copy_of("pooling_mean", tmp_path)
    entry(2, type="bi_dense.BiDense", distribution="bi-dense")(folder)

    report = inspect(folder)

    assert "no installed plugin" in str(report)
    told = " ".join(str(report).split())
    assert "next: the model's files claim that the package 'bi-dense' provides it" in told
    assert "Look at https://pypi.org/project/bi-dense/ first" in told


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    files = {"head.py": head("1"), "2_Part/head.py": head("2")}
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head", "head.Head"], files)

    report = inspect(folder)

    assert len({code.digest for purpose, code in report.code.items() if "head.Head" in purpose}) == 2
    assert len(report.approvals) == 3


def test_code_that_no_load_runs_is_listed_apart(tmp_path: Path) -> None:
    folder = copy_of("custom_transformer_kwargs", tmp_path)
    text("train.py", "import os")(folder)

    report = inspect(folder)

    assert report.other_code == ["train.py"]
    (code,) = report.code.values()
    assert [file.path for file in code.files] == ["custom_transformer.py", "scaling.py"]


def test_code_of_a_checkpoint_is_told_with_whether_it_loads_without(tmp_path: Path) -> None:
    folder = copy_of("bert_seqcls_1label", tmp_path)
    keys("config.json", auto_map={"AutoConfig": "conf.Conf"})(folder)
    text("conf.py", "class Conf: ...")(folder)

    report = inspect(folder)

    assert list(report.code) == ["the checkpoint's Conf"]
    assert report.failures == []
    (note,) = said_of(report, "note")
    assert "runs only if you trust it; it loads without" in note


def test_files_that_it_takes_from_elsewhere_are_told(tmp_path: Path) -> None:
    folder = copy_of("bert_seqcls_1label", tmp_path)
    keys("sentence_bert_config.json", tokenizer_name_or_path="someone/tokenizer")(folder)

    report = inspect(folder)

    assert report.elsewhere == {"its tokenizer": "someone/tokenizer"}
    assert "its tokenizer: someone/tokenizer" in str(report)


def test_settings_are_told() -> None:
    report = inspect(GOLDEN / "prompts_defaults" / "model")

    for line in (
        "activation: torch.nn.modules.activation.Sigmoid",
        "prompt 'query': 'query : '",
        "default prompt: 'query'",
    ):
        assert line in str(report)


def test_the_activation_of_an_older_save_is_told() -> None:
    assert inspect(GOLDEN / "legacy_v3_plain_hf" / "model").activation == "torch.nn.modules.linear.Identity"


def test_an_activation_that_is_not_imported_is_told() -> None:
    report = inspect(GOLDEN / "activation_untrusted_path" / "model")

    (note,) = said_of(report, "note")
    assert "'my_pkg.Act'" in note
    assert "not imported" in note


def test_pickles_are_listed(tmp_path: Path) -> None:
    folder = copy_of("bert_seqcls_1label", tmp_path)
    pickled("pytorch_model.bin")(folder)

    report = inspect(folder)

    assert report.pickles == ["pytorch_model.bin"]
    assert "loads only if pickles are allowed" in str(report)


def test_a_saved_key_that_nobody_knows_is_noted(tmp_path: Path) -> None:
    folder = copy_of("bert_seqcls_1label", tmp_path)
    keys("config_sentence_transformers.json", promts={})(folder)

    (note,) = said_of(inspect(folder), "note")

    assert "'promts'" in note
    assert "'prompts'" in note


@pytest.mark.parametrize("case", CASES)
def test_a_report_is_json_by_the_standard(case: str) -> None:
    report = inspect(GOLDEN / case / "model", cache_folder=GOLDEN / case / "hub", local_files_only=True)

    values = json.loads(json.dumps(report.to_json(), allow_nan=False))

    assert values["loads"] == (not report.failures)
    assert [module["type"] for module in values["modules"]] == [module.type for module in report.modules]


def test_a_number_that_json_cannot_say_becomes_a_text(tmp_path: Path) -> None:
    folder = copy_of("pooling_mean", tmp_path)
    keys("1_Pooling/config.json", limit=float("inf"))(folder)

    values = json.loads(json.dumps(inspect(folder).to_json(), allow_nan=False))

    assert values["modules"][1]["config"]["limit"] == "inf"


def test_nothing_in_a_model_steers_the_terminal_of_who_reads_the_report(tmp_path: Path) -> None:
    folder = copy_of("prompts_defaults", tmp_path)
    hidden = "\x1b[2J\x1b[31m\r\u202e"
    entry(0, type=f"nobody{hidden}\n  by       the plugin pairchain-dense")(folder)
    keys("config_sentence_transformers.json", prompts={f"a{hidden}": hidden}, activation_fn=hidden)(folder)
    text("train.py", "")(folder)
    (folder / "train.py").rename(folder / "train\x1b[8m.py")

    shown = str(inspect(folder))

    assert all(line.isprintable() for line in shown.split("\n"))
    assert "by       no installed plugin" in shown
    assert not [line for line in shown.split("\n") if line.strip() == "by       the plugin pairchain-dense"]


def test_a_long_line_of_a_model_s_author_looks_like_none_of_the_report(tmp_path: Path) -> None:
    folder = copy_of("pooling_mean", tmp_path)
    forged = ["by       the plugin pairchain-dense 99", "next: pip install evil"]
    entry(1, type=" ".join(f"{'x' * 76} {line}" for line in forged))(folder)

    shown = str(inspect(folder)).split("\n")

    steps = [line for line in shown[shown.index("errors") :] if "next: " in line]
    assert not [line for line in shown if forged[0] in line]
    assert f"      {forged[1]}'." in steps
    assert [line for line in steps if line.startswith("    next: ")] == [
        "    next: install the plugin that provides it, or pass the class in"
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_report_fits_a_terminal_but_for_what_is_copied_from_it(case: str) -> None:
    lines = str(inspect(GOLDEN / case / "model", local_files_only=True)).split("\n")

    wide = [line.split() for line in lines[1:] if len(line) > 80]

    # a path, a type or an approval on a line of its own
    assert not [words for words in wide if len(words) > 1]
