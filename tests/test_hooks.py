"""Hooks: what plugins may answer and are told, and that one of them failing stops nobody else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_folders import HEAD, give_last_module, importable, install, registry_of

from pairchain import CrossEncoder, PairchainWarning, hooks, registry
from pairchain.errors import InputError, PluginConflictError, PluginError, SourceNotFoundError

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


def test_of_a_plugin_with_one_wrong_hook_no_hook_is_used(site: Path) -> None:
    install_hooks(site, "acme", f"{OPEN} return '.'", "def pairchain_resolve_type(kind): return int")
    plugins = registry_of(site)
    with pytest.warns(PairchainWarning, match=r"hooks of acme 1\.0 are left out"):
        answers = hooks.ask("pairchain_open_source", registry=plugins, name="s3://x", revision=None, cache_folder=None)
    assert answers == []


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


def test_a_second_plugin_for_bare_checkpoints_is_a_conflict_until_it_is_left_out(
    site: Path, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_hooks(site, "acme-chains", "def pairchain_default_chain(request): return []")
    checkpoint = golden / "legacy_v3_plain_hf" / "model"
    with pytest.raises(PluginConflictError) as caught:
        CrossEncoder(checkpoint)
    assert "acme-chains:hooks, pairchain-transformer:transformers_checkpoint" in str(caught.value)
    assert "PAIRCHAIN_DISABLE_PLUGINS" in caught.value.next_step
    monkeypatch.setenv("PAIRCHAIN_DISABLE_PLUGINS", "acme-chains")
    assert CrossEncoder(checkpoint).predict(PAIR).shape == ()


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
