"""Hooks: what plugins may answer and are told, and that one of them failing stops nobody else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_folders import HEAD, give_last_module, importable, install, registry_of
from torch import nn

import pairchain
from pairchain import CrossEncoder, PairchainWarning, hooks, registry
from pairchain.errors import InputError, PairchainError, PluginConflictError, PluginError, SourceNotFoundError

PAIR = ("How many people live in Berlin?", "Berlin has 3.5 million inhabitants.")
RESOLVE = "def pairchain_resolve_type(type_name):"
OPEN = "def pairchain_open_source(name, revision, cache_folder):"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def install_hooks(site: Path, distribution: str, *functions: str, before: str = "") -> None:
    """Install a distribution whose one module holds these functions, each marked as a hook."""
    module = distribution.replace("-", "_")
    marked = "".join(f"@pairchain.hookimpl\n{function}\n" for function in functions)
    code = f"import pairchain\n{before}\n{marked}"
    install(site, distribution, hooks={"hooks": module}, files={f"{module}.py": code})
    registry.refresh()


def install_opener(site: Path, distribution: str, scheme: str, folder: Path) -> None:
    """Install a plugin that opens names starting with ``scheme``, and keeps what it was asked."""
    install_hooks(
        site,
        distribution,
        f"{OPEN}\n    asked.append((name, revision, cache_folder))\n"
        f"    return pathlib.Path({os.fspath(folder)!r}) if name.startswith({scheme!r}) else None",
        before="import pathlib\nasked = []",
    )


# -- plugins that do not work ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("import pairchain\n@pairchain.hookimpl\ndef pairchain_resolve_typ(type_name): ...", "pairchain_resolve_typ"),
        ("import pairchain\n@pairchain.hookimpl\ndef pairchain_resolve_type(kind): ...", "{'kind'}"),
        ("def pairchain_resolve_type(type_name): return int", "no function marked with pairchain.hookimpl"),
    ],
)
def test_a_broken_hook_plugin_is_left_out_with_one_warning_and_the_others_answer(
    site: Path, code: str, cause: str
) -> None:
    install(site, "acme-broken", "1.3", hooks={"hooks": "acme_broken"}, files={"acme_broken.py": code})
    install_hooks(site, "zeta-healthy", f"{RESOLVE} return float")
    plugins = registry_of(site)
    with pytest.warns(PairchainWarning, match=r"hooks of acme-broken 1\.3 are left out") as caught:
        assert hooks.ask_one("pairchain_resolve_type", type, registry=plugins, type_name="X") is float
    assert cause in str(caught[0].message)
    assert hooks.ask_one("pairchain_resolve_type", type, registry=plugins, type_name="X") is float
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("def pairchain_resolve_type(kind): return int", "'kind'"),
        (
            "def pairchain_resolve_typ(type_name): return int",
            "no hook 'pairchain_resolve_typ' (did you mean 'pairchain_reso",
        ),
        ("def pairchain_on_fire(): ...", "pairchain has no hook 'pairchain_on_fire'"),
    ],
)
def test_a_wrong_hook_is_left_out_and_the_other_hooks_of_its_module_are_used(site: Path, wrong: str, says: str) -> None:
    install_hooks(site, "acme", f"{OPEN} return '.'", wrong)
    plugins = registry_of(site)
    with pytest.warns(PairchainWarning, match=r"a hook of acme 1\.0 is left out") as caught:
        answers = hooks.ask("pairchain_open_source", registry=plugins, name="s3://x", revision=None, cache_folder=None)
    assert [answer.value for answer in answers] == ["."]
    assert says in str(caught[0].message)
    with pytest.raises(PluginError) as refused:
        hooks.check_hooks(plugins.installation.find("pairchain.hooks")[0], plugins)
    assert says in str(refused.value)


def test_a_hook_without_the_mark_is_named_and_an_optional_hook_may_be_unknown(site: Path) -> None:
    install_hooks(site, "acme", f"{OPEN} return '.'", before=f"{RESOLVE} return int")
    install_hooks(
        site, "zeta", f"{OPEN} ...", before="@pairchain.hookimpl(optionalhook=True)\ndef pairchain_later(): ..."
    )
    with pytest.warns(PairchainWarning) as caught:
        hooks.manager(registry_of(site))
    assert [str(warning.message) for warning in caught] == [
        "a hook of acme 1.0 is left out: pairchain_resolve_type is not marked with pairchain.hookimpl."
    ]


def test_a_repaired_hook_plugin_answers_after_refresh(site: Path) -> None:
    install_hooks(site, "acme", f"{RESOLVE} return int", before="raise RuntimeError('no driver')")
    plugins = registry_of(site)
    with pytest.warns(PairchainWarning, match="no driver"):
        assert hooks.ask("pairchain_resolve_type", registry=plugins, type_name="X") == []
    (site / "acme.py").write_text(f"import pairchain\n@pairchain.hookimpl\n{RESOLVE} return int\n")
    plugins.refresh()
    assert hooks.ask_one("pairchain_resolve_type", type, registry=plugins, type_name="X") is int


def test_an_error_inside_an_answer_keeps_its_type_and_says_whose_it_is(site: Path) -> None:
    install_hooks(site, "acme", f"{RESOLVE} raise KeyError('inside')")
    with pytest.raises(KeyError, match="inside") as caught:
        hooks.ask("pairchain_resolve_type", registry=registry_of(site), type_name="X")
    assert caught.value.__notes__ == ["raised by the plugin acme:hooks in pairchain_resolve_type"]


def test_a_plugin_that_is_on_the_path_twice_is_asked_once(site: Path) -> None:
    install_hooks(site, "acme", f"{RESOLVE} return int")
    plugins = registry_of(site, site)
    assert hooks.ask_one("pairchain_resolve_type", type, registry=plugins, type_name="X") is int


def test_a_plugin_that_a_setting_keeps_out_is_not_asked(site: Path) -> None:
    install_hooks(site, "acme", f"{RESOLVE} return int", before="raise RuntimeError('imported')")
    install_hooks(site, "zeta", f"{RESOLVE} return float")
    plugins = registry_of(site, PAIRCHAIN_DISABLE_PLUGINS="acme")
    answers = hooks.ask("pairchain_resolve_type", registry=plugins, type_name="X")
    assert [(answer.plugin, answer.value) for answer in answers] == [("zeta:hooks", float)]


# -- answers -----------------------------------------------------------------------------------------------------------


def test_two_answers_are_a_conflict_that_names_both(site: Path) -> None:
    install_hooks(site, "zeta", f"{RESOLVE} return int")
    install_hooks(site, "acme", f"{RESOLVE} return int")
    install_hooks(site, "silent", f"{RESOLVE} return None")
    with pytest.raises(PluginConflictError, match="2 plugins answer pairchain_resolve_type: acme:hooks, zeta:hooks"):
        hooks.ask_one("pairchain_resolve_type", type, registry=registry_of(site), type_name="X")


def test_an_answer_of_the_wrong_kind_names_the_plugin(site: Path) -> None:
    install_hooks(site, "acme", f"{RESOLVE} return 'acme.Head'")
    with pytest.raises(PluginError, match=r"acme:hooks answered pairchain_resolve_type with 'acme\.Head'"):
        hooks.ask_one("pairchain_resolve_type", type, registry=registry_of(site), type_name="X")


def install_answers(site: Path, **answers: str) -> None:
    """Install a plugin for each name, whose answer to RESOLVE is this code, such as ``tryfirst: return int``."""
    for name, answer in answers.items():
        mark, _, code = answer.rpartition(": ")
        marked = f"@pairchain.hookimpl({mark}=True)" if mark else "@pairchain.hookimpl"
        install_hooks(site, name, before=f"asked = []\n{marked}\n{RESOLVE}\n    asked.append(type_name)\n    {code}")


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"acme": "return int", "zeta": "tryfirst: return float"}, ["zeta"]),
        ({"acme": "trylast: return int", "zeta": "return float"}, ["zeta"]),
        ({"acme": "trylast: return int", "beta": "return None", "zeta": "tryfirst: return float"}, ["zeta"]),
        ({"acme": "tryfirst: return None", "beta": "trylast: return int", "zeta": "return float"}, ["acme", "zeta"]),
    ],
)
def test_early_plugins_are_asked_first_and_an_answer_ends_the_question(
    site: Path, answers: dict[str, str], asked: list[str]
) -> None:
    install_answers(site, **answers)
    assert hooks.ask_one("pairchain_resolve_type", type, registry=registry_of(site), type_name="X") is float
    assert [name for name in answers if sys.modules[name].asked] == asked


@pytest.mark.parametrize(
    ("wrong", "says"),
    [("raise KeyError('inside')", "KeyError: 'inside'"), ("return 'acme.Head'", "PluginError: .*which is not a type")],
)
def test_a_plugin_that_fails_is_named_and_the_others_are_asked(site: Path, wrong: str, says: str) -> None:
    install_answers(site, acme=f"tryfirst: {wrong}", zeta="return float")
    plugins = registry_of(site)
    with pytest.warns(PairchainWarning, match=f"acme:hooks failed in pairchain_resolve_type: {says}") as caught:
        assert hooks.ask_one("pairchain_resolve_type", type, registry=plugins, type_name="X") is float
    assert "zeta:hooks answered instead" in str(caught[0].message)


def test_if_nobody_answers_the_first_failure_is_raised_and_the_others_are_named(site: Path) -> None:
    install_answers(site, acme="raise KeyError('first')", beta="return None", zeta="raise OSError('second')")
    plugins = registry_of(site)
    with (
        pytest.warns(PairchainWarning, match="zeta:hooks failed in pairchain_resolve_type: OSError: second"),
        pytest.raises(KeyError, match="first") as caught,
    ):
        hooks.ask_one("pairchain_resolve_type", type, registry=plugins, type_name="X")
    assert caught.value.__notes__ == ["raised by the plugin acme:hooks in pairchain_resolve_type"]


CHAIN = "def pairchain_default_chain(request):"
INSPECT = "def pairchain_inspect_checkpoint(source):"


def test_a_plugin_for_its_own_checkpoints_answers_before_the_standard_one(site: Path, golden: Path) -> None:
    checkpoint = golden / "legacy_v3_plain_hf" / "model"
    made = f"pairchain.CrossEncoder({os.fspath(golden / 'bert_seqcls_1label' / 'model')!r})"
    install_hooks(site, "acme-chains", f"{CHAIN} return list({made})", before="import pairchain")
    models = [
        CrossEncoder(at, activation_fn=nn.Identity()) for at in (checkpoint, golden / "bert_seqcls_1label" / "model")
    ]
    assert models[0].predict(PAIR) == models[1].predict(PAIR)
    # it may build the chain, and does not describe it
    notes = [problem.text for problem in pairchain.inspect(checkpoint).problems]
    assert any("only a load shows whether acme-chains makes its chain" in note for note in notes), notes


@pytest.mark.parametrize("answer", ["[]", "[1]", "'Dense'"])
def test_a_chain_that_is_none_is_an_error_of_the_plugin(site: Path, tmp_path: Path, answer: str) -> None:
    install_hooks(site, "acme", f"{CHAIN} return {answer}")
    (tmp_path / "acme.bin").touch()
    with pytest.raises(PairchainError, match="acme"):
        CrossEncoder(tmp_path)


def test_two_plugins_for_bare_checkpoints_are_a_conflict_until_one_is_left_out(
    site: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme-chains", "zeta-chains"):
        facts = f"{INSPECT} return pairchain.Facts()"
        install_hooks(site, name, f"{CHAIN} return []", facts)
    checkpoint = golden / "legacy_v3_plain_hf" / "model"
    with pytest.raises(PluginConflictError) as caught:
        CrossEncoder(checkpoint)
    assert "acme-chains:hooks, zeta-chains:hooks" in str(caught.value)
    assert "PAIRCHAIN_DISABLE_PLUGINS" in caught.value.next_step
    report = pairchain.inspect(checkpoint)
    assert report.failures
    assert any("2 plugins answer" in problem.text for problem in report.problems)
    monkeypatch.setenv("PAIRCHAIN_DISABLE_PLUGINS", "acme-chains,zeta-chains")
    assert CrossEncoder(checkpoint).predict(PAIR).shape == ()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (f"{INSPECT} return {{}}", "acme:hooks answered pairchain_inspect_checkpoint with {}, which is not a Facts"),
        (f"{INSPECT} 1 / 0", "acme:hooks failed in pairchain_inspect_checkpoint: ZeroDivisionError"),
        ("def pairchain_inspect_module(source): return 3", ""),
        ("def pairchain_foresee_type(type_name): return 3", ""),
    ],
)
def test_a_report_is_made_whatever_a_plugin_answers(site: Path, golden: Path, function: str, says: str) -> None:
    install_hooks(site, "acme", function)
    report = pairchain.inspect(golden / "legacy_v3_plain_hf" / "model")
    assert not report.failures
    assert says in str(report.to_json()["problems"])


class Plain(nn.Module):
    """A module that does not subclass pairchain's, so that plugins guard its load."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return features

    def save(self, output_path: str, **kwargs: Any) -> None: ...

    @classmethod
    def load(cls, path: str) -> Plain:
        return cls()


@pytest.mark.parametrize(
    ("answer", "says"),
    [("return 3", "answered pairchain_guard_load with 3"), ("raise OSError('no')", "raised by the plugin acme:hooks")],
)
def test_a_guard_that_fails_ends_the_load_and_is_named(site: Path, pooled: Path, answer: str, says: str) -> None:
    give_last_module(pooled, "old.Head")
    install_hooks(site, "acme", f"def pairchain_guard_load(source, given): {answer}")
    with pytest.raises(PairchainError, match=says):
        CrossEncoder(pooled, module_classes={"old.Head": Plain})


def test_a_plugin_that_fails_on_a_bare_checkpoint_is_named_and_the_standard_one_loads_it(
    site: Path, golden: Path
) -> None:
    checkpoint = golden / "legacy_v3_plain_hf" / "model"
    expected = CrossEncoder(checkpoint).predict(PAIR)
    install_hooks(site, "acme-chains", f"{CHAIN} raise RuntimeError('no licence')", f"{INSPECT} raise OSError('gone')")
    with pytest.warns(PairchainWarning, match="acme-chains:hooks failed in pairchain_default_chain.*no licence"):
        assert CrossEncoder(checkpoint).predict(PAIR) == expected
    report = pairchain.inspect(checkpoint)
    assert not report.failures
    assert report.proposed_by == "pairchain-transformer"
    assert any("acme-chains:hooks failed in pairchain_inspect_checkpoint" in one.text for one in report.problems)


def test_a_plugin_proposes_the_chain_for_a_checkpoint_of_its_own_kind(site: Path, tmp_path: Path) -> None:
    install_hooks(
        site,
        "acme-chains",
        "def pairchain_default_chain(request):\n"
        "    return [Lengths(request.source.name)] if request.source.has('acme.bin') else None",
        before=(
            "import torch\n"
            "class Lengths(pairchain.InputModule):\n"
            "    def __init__(self, home):\n"
            "        super().__init__()\n"
            "        self.home = home\n"
            "    def preprocess(self, inputs, prompt=None):\n"
            "        return {'lengths': torch.tensor([float(len(document)) for _, document in inputs])}\n"
            "    def forward(self, features, **kwargs):\n"
            "        features['scores'] = features['lengths']\n"
            "        return features\n"
            "    def save(self, output_path, *args, **kwargs): ...\n"
        ),
    )
    (tmp_path / "acme.bin").touch()
    model = CrossEncoder(tmp_path, activation_fn=lambda scores: scores)
    assert model[0].home == os.fspath(tmp_path)
    assert model.predict([("a", "four"), ("a", "longer")]).tolist() == [4.0, 6.0]


def test_a_type_nobody_registers_is_resolved_by_a_plugin(site: Path, pooled: Path) -> None:
    install_hooks(site, "acme", f"{RESOLVE} return Head if type_name == 'old.Head' else None", before=HEAD)
    give_last_module(pooled, "old.Head")
    model = CrossEncoder(pooled)
    assert type(model[2]) is sys.modules["acme"].Head
    assert model.predict(PAIR).shape == ()


def test_a_name_with_a_scheme_is_opened_by_the_plugin_that_knows_it(site: Path, classifier: Path) -> None:
    install_opener(site, "acme-buckets", "s3://", classifier)
    install_opener(site, "acme-other", "gs://", classifier.parent)
    expected = CrossEncoder(classifier).predict(PAIR)
    model = CrossEncoder("s3://bucket/reranker", revision="v2", cache_folder="/cache")
    assert model.predict(PAIR) == expected
    assert sys.modules["acme_buckets"].asked == [("s3://bucket/reranker", "v2", "/cache")]


def test_a_name_with_a_scheme_that_no_plugin_knows_is_not_looked_for_elsewhere(site: Path, classifier: Path) -> None:
    install_opener(site, "acme-buckets", "s3://", classifier)
    with pytest.raises(SourceNotFoundError, match="no installed plugin opens 'gs://bucket/reranker'"):
        CrossEncoder("gs://bucket/reranker")


def test_a_plugin_that_is_disabled_is_named_where_it_could_have_answered(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_opener(site, "acme-buckets", "s3://", site)
    monkeypatch.setenv("PAIRCHAIN_DISABLE_PLUGINS", "acme-buckets")
    registry.refresh()
    said = "opens 's3://bucket/reranker'; disabled: acme-buckets by PAIRCHAIN_DISABLE_PLUGINS"
    with pytest.raises(SourceNotFoundError, match=said):
        CrossEncoder("s3://bucket/reranker")


# -- events ------------------------------------------------------------------------------------------------------------

LOADED = "def pairchain_chain_loaded(chain):"
SAVED = "def pairchain_chain_saved(chain, path):"


def test_every_listener_is_told_of_a_load_and_of_a_save(site: Path, classifier: Path, tmp_path: Path) -> None:
    for name in ("acme", "zeta"):
        listens = (f"{LOADED} told.append(chain)", f"{SAVED} told.append((chain, path, sorted(path.iterdir())))")
        install_hooks(site, name, *listens, before="told = []")
    model = CrossEncoder(classifier)
    model.save_pretrained(tmp_path / "saved")
    for name in ("acme", "zeta"):
        loaded, (saved, path, files) = sys.modules[name].told
        assert loaded is saved is model
        assert path == tmp_path / "saved"
        assert path / "modules.json" in files


def test_a_chain_built_by_hand_was_not_loaded(site: Path, classifier: Path) -> None:
    install_hooks(site, "acme", f"{LOADED} told.append(chain)", before="told = []")
    model = CrossEncoder(classifier)
    CrossEncoder(modules=list(model))
    assert sys.modules["acme"].told == [model]


def test_a_listener_that_fails_breaks_neither_load_nor_save_nor_the_next_listener(
    site: Path, classifier: Path, tmp_path: Path
) -> None:
    install_hooks(site, "acme", f"{LOADED} raise OSError('disk full')", f"{SAVED} 1 / 0")
    install_hooks(site, "zeta", f"{LOADED} told.append(chain)", f"{SAVED} told.append(path)", before="told = []")
    with pytest.warns(PairchainWarning, match="acme:hooks failed in pairchain_chain_loaded: OSError: disk full"):
        model = CrossEncoder(classifier)
    with pytest.warns(PairchainWarning, match="acme:hooks failed in pairchain_chain_saved: ZeroDivisionError"):
        model.save_pretrained(tmp_path / "saved")
    assert sys.modules["zeta"].told == [model, tmp_path / "saved"]
    shutil.rmtree(site)
    registry.refresh()
    assert CrossEncoder(tmp_path / "saved").predict(PAIR) == model.predict(PAIR)


def test_a_load_that_fails_is_not_told(site: Path, classifier: Path) -> None:
    install_hooks(site, "acme", f"{LOADED} told.append(chain)", before="told = []")
    with pytest.raises(InputError):
        CrossEncoder(classifier, default_prompt_name="absent")
    CrossEncoder(classifier)
    assert len(sys.modules["acme"].told) == 1
