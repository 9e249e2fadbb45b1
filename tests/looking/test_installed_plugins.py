"""What is installed and what is wrong with it, told from metadata; and whether one works, by importing it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from plugin_folders import HEAD, canary, importable, install, registry_of

from pairchain import registry
from pairchain.errors import PluginError, PluginImportError, PluginVersionError
from pairchain.looking.plugins import Plugin, check_plugin, plugins, unmet_requirements


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def plugin_with(site: Path, name: str = "acme", type_name: str = "Head", code: str = HEAD, **more: object) -> Path:
    """Install a plugin with one class, ``Head``, in a module called after it."""
    package = name.replace("-", "_")
    options = {"modules": {type_name: f"{package}:Head"}, "files": {f"{package}.py": code}, **more}
    return install(site, name, **options)  # type: ignore[arg-type]


def only(*sites: Path, **settings: str) -> Plugin:
    (plugin,) = plugins(registry_of(*sites, **settings))
    return plugin


def told(plugin: Plugin) -> str:
    """Return what is wrong with a plugin in one way."""
    (fault,) = plugin.problems
    return f"{fault.text} {fault.next_step}"


# -- listing -----------------------------------------------------------------------------------------------------------


def test_a_plugin_that_is_whole_is_listed_with_its_types_and_hooks_and_not_imported(site: Path, tmp_path: Path) -> None:
    types = {"acme.Head": "acme:Head", "Head": "acme:Head", "Other": "acme:Other"}
    plugin_with(site, modules=types, hooks={"acme": "acme"}, files={"acme.py": canary(tmp_path / "imported")})
    plugin = only(site)
    assert (plugin.name, plugin.version, plugin.status, plugin.problems) == ("acme", "1.0", "ok", ())
    assert plugin.classes == {"acme:Head": ["Head", "acme.Head"], "acme:Other": ["Other"]}
    assert [hook.name for hook in plugin.hooks] == ["acme"]
    assert not (tmp_path / "imported").exists()


def test_the_standard_plugins_are_whole() -> None:
    found = {plugin.name: plugin for plugin in plugins()}
    assert {"pairchain-dense", "pairchain-sentence-transformers", "pairchain-transformer"} <= set(found)
    assert {plugin.status for name, plugin in found.items() if name.startswith("pairchain-")} == {"ok"}


def test_what_is_listed_is_json(site: Path) -> None:
    plugin_with(site)
    values = json.loads(json.dumps(only(site).to_json()))
    assert values["types"] == {"Head": "acme:Head"}
    assert values["place"] == str(site / "acme-1.0.dist-info")
    assert values["problems"] == []


def test_other_distributions_are_not_listed_whatever_they_announce(site: Path) -> None:
    info = install(site, "stranger")
    (info / "entry_points.txt").write_text("[console_scripts]\nthis line is no entry point\n")
    assert plugins(registry_of(site)) == ()


# -- what is wrong -----------------------------------------------------------------------------------------------------


def test_of_two_that_claim_one_type_each_is_broken_and_names_the_other(site: Path) -> None:
    plugin_with(site, "acme")
    plugin_with(site, "zeta", version="2.5")
    acme, zeta = plugins(registry_of(site))
    assert acme.status == zeta.status == "broken"
    assert "'Head' is also registered by zeta 2.5" in told(acme)
    assert "'Head' is also registered by acme 1.0" in told(zeta)
    assert "PAIRCHAIN_DISABLE_PLUGINS" in told(zeta)


def test_one_that_is_left_out_by_the_environment_is_no_rival(site: Path) -> None:
    plugin_with(site, "acme")
    plugin_with(site, "zeta")
    acme, zeta = plugins(registry_of(site, PAIRCHAIN_DISABLE_PLUGINS="zeta"))
    assert (acme.status, zeta.status, zeta.disabled_by) == ("ok", "disabled", "PAIRCHAIN_DISABLE_PLUGINS")


def test_a_claim_on_a_standard_name_is_told(site: Path) -> None:
    plugin_with(site, type_name="Dense")
    assert "'Dense', which is reserved for pairchain-dense" in told(only(site))


def test_one_for_another_core_is_broken(site: Path) -> None:
    plugin_with(site, requires=["pairchain-core>=9"])
    assert "needs pairchain-core>=9, but pairchain-core is" in told(only(site))


def test_a_copy_further_down_the_path_is_hidden_by_the_first(site: Path, tmp_path: Path) -> None:
    plugin_with(site)
    plugin_with(tmp_path / "other", version="0.9")
    first, second = plugins(registry_of(site, tmp_path / "other"))
    assert (first.version, first.status, second.version, second.status) == ("1.0", "ok", "0.9", "hidden")
    assert f"comes first on the path, {site / 'acme-1.0.dist-info'}" in told(second)
    assert registry_of(site, tmp_path / "other").names() == ["Head"]


def test_a_first_copy_without_pairchain_s_entry_points_hides_one_with_them(site: Path, tmp_path: Path) -> None:
    install(site, "acme", "1.0")
    (site / "acme-1.0.dist-info" / "entry_points.txt").unlink()
    plugin_with(tmp_path / "other", version="2.0")
    assert only(site, tmp_path / "other").status == "hidden"


def test_what_a_cut_off_removal_left_does_not_hide_the_plugin(site: Path) -> None:
    (plugin_with(site, version="0.9") / "METADATA").unlink()
    plugin_with(site, version="1.0")
    whole, rest = plugins(registry_of(site))
    assert (whole.version, whole.status, rest.status) == ("1.0", "ok", "hidden")


@pytest.mark.parametrize(
    "folder", ["~acme-0.9.dist-info", "~cme-0.9.dist-info", "-cme-0.9.dist-info", "~acme.egg-info"]
)
def test_what_an_interrupted_pip_set_aside_is_ignored_as_pip_does(site: Path, folder: str) -> None:
    plugin_with(site, version="0.9").rename(site / folder)
    assert plugins(registry_of(site)) == ()
    plugin_with(site, version="1.0")
    assert (only(site).version, only(site).status) == ("1.0", "ok")
    assert registry_of(site).lookup("Head").version == "1.0"  # type: ignore[union-attr]


def test_an_unmet_requirement_of_its_own_is_listed(site: Path) -> None:
    plugin_with(site, requires=["no-such-library>=2", "packaging>=24", "absent; python_version < '3'", "torch>=99"])
    plugin = only(site)
    assert plugin.status == "odd"
    told_of = [(problem.about, problem.text, problem.next_step) for problem in plugin.problems]
    assert told_of[0] == (
        "requirement",
        "acme 1.0 needs no-such-library>=2, but no-such-library is not installed.",
        "pip install 'no-such-library>=2'",
    )
    assert [about for about, text, _ in told_of if "needs torch>=99, but torch" in text] == ["requirement"]
    assert len(told_of) == 2
    assert set(plugin.problems) <= set(unmet_requirements(plugin))


def test_one_on_the_path_twice_is_one(site: Path, tmp_path: Path) -> None:
    plugin_with(site)
    (tmp_path / "link").symlink_to(site)
    assert only(site, site, tmp_path / "link").status == "ok"


@pytest.mark.parametrize("damage", ["missing", "empty", "no text"])
def test_empty_metadata_is_told_and_the_plugin_has_the_name_of_its_folder(site: Path, damage: str) -> None:
    metadata = plugin_with(site, "acme-heads", files={"acme_heads.py": HEAD}) / "METADATA"
    metadata.unlink() if damage == "missing" else metadata.write_bytes(b"" if damage == "empty" else b"\xff\xfe")
    plugin = only(site)
    assert (plugin.name, plugin.version, plugin.status) == ("acme-heads", "", "odd")
    assert "its metadata is empty" in told(plugin)
    assert "pip install --force-reinstall acme-heads" in told(plugin)


def test_one_that_announces_nothing_is_told(site: Path) -> None:
    install(site, "acme")
    assert "it registers nothing" in told(only(site))


@pytest.mark.parametrize("text", [b"[pairchain.modules]\nno entry point\n", b"\xff\xfe[pairchain.modules]"])
def test_entry_points_that_cannot_be_read_are_told_and_the_others_work(site: Path, text: bytes) -> None:
    (install(site, "acme") / "entry_points.txt").write_bytes(text)
    plugin_with(site, "zeta")
    plugins_here = registry_of(site)
    with pytest.warns(match="the entry points of acme cannot be read"):
        acme, zeta = plugins(plugins_here)
    assert (acme.status, zeta.status) == ("broken", "ok")
    assert "cannot be read" in told(acme)
    assert plugins_here.names() == ["Head"]


def test_an_entry_point_to_nowhere_is_told_without_importing(site: Path) -> None:
    install(site, "acme", modules={"Head": "acme_missing:Head"})
    install(site, "zeta", modules={"Tail": "not a path!"})
    acme, zeta = plugins(registry_of(site))
    assert "there is no module 'acme_missing'" in told(acme)
    assert "'Tail' points to 'not a path!'" in told(zeta)


def test_code_that_comes_before_the_plugin_s_own_is_told(site: Path, tmp_path: Path) -> None:
    info = plugin_with(site)
    (info / "RECORD").write_text("acme.py,,\nacme-1.0.dist-info/RECORD,,\n")
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "acme.py").write_text(HEAD)
    assert only(site).status == "ok"
    with importable(tmp_path / "before"):
        plugin = only(site)
    assert plugin.status == "odd"
    assert f"import acme gets {tmp_path / 'before' / 'acme.py'}, which comes before the plugin's own" in told(plugin)


def test_requirements_that_are_not_met_are_told(site: Path) -> None:
    requires = ["no-such-library>=2", "packaging>=999", "packaging", 'absent; extra == "more"', "no requirement!"]
    plugin_with(site, requires=requires)
    faults = unmet_requirements(only(site))
    assert [fault.text for fault in faults] == [
        "acme 1.0 needs no-such-library>=2, but no-such-library is not installed.",
        f"acme 1.0 needs packaging>=999, but packaging {version('packaging')} is installed.",
    ]
    assert faults[0].next_step == "pip install 'no-such-library>=2'"


# -- checking ----------------------------------------------------------------------------------------------------------


def test_a_module_and_hooks_that_work_pass(site: Path) -> None:
    hooks = "from pairchain import hookimpl\n@hookimpl\ndef pairchain_chain_loaded(chain): pass\n"
    plugin_with(site, hooks={"acme": "acme_hooks"}, files={"acme.py": HEAD, "acme_hooks.py": hooks})
    for found in only(site).installed.found:
        check_plugin(found, registry_of(site))


@pytest.mark.parametrize(
    ("code", "error", "cause"),
    [
        ("import no_such_library", PluginImportError, "No module named 'no_such_library'"),
        ("Head = 3", PluginError, "is not a class, but 3"),
        ("class Head: pass", PluginError, "is not a module: it lacks torch.nn.Module as a base class"),
        ("from torch import nn\nclass Head(nn.Module): pass", PluginError, "it lacks forward, save, load"),
    ],
)
def test_a_class_that_does_not_work_is_told(site: Path, code: str, error: type[PluginError], cause: str) -> None:
    plugin_with(site, code=code)
    (found,) = only(site).types
    with pytest.raises(error, match=cause):
        check_plugin(found, registry_of(site))


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("", "no function marked with pairchain.hookimpl"),
        ("@hookimpl\ndef pairchain_no_such_hook(): pass", "pairchain_no_such_hook"),
        ("@hookimpl\ndef pairchain_chain_loaded(chian): pass", "chian"),
    ],
)
def test_hooks_that_nobody_would_ask_are_told(site: Path, code: str, cause: str) -> None:
    install(site, "acme", hooks={"acme": "acme"}, files={"acme.py": f"from pairchain import hookimpl\n{code}\n"})
    (found,) = only(site).hooks
    with pytest.raises(PluginError, match=cause):
        check_plugin(found, registry_of(site))


def test_one_for_another_core_is_refused_before_it_is_imported(site: Path, tmp_path: Path) -> None:
    plugin_with(site, requires=["pairchain-core<0.0.1"], code=canary(tmp_path / "imported"))
    (found,) = only(site).types
    with pytest.raises(PluginVersionError):
        check_plugin(found, registry.default)
    assert not (tmp_path / "imported").exists()
