"""Finding plugins without importing them, loading one, and hearing what is wrong with one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import importlib_metadata
import pytest
from importlib_metadata import Distribution
from plugin_folders import canary, importable, install, registry_of, run_python

from pairchain import PairchainWarning, registry
from pairchain.errors import PluginError, PluginImportError, PluginVersionError, UnknownTypeError
from pairchain.registry import Registry
from pairchain.registry.groups import HOOKS_GROUP
from pairchain.registry.installation import Installation

# Under which packages of sentence-transformers each standard module was ever saved.
HISTORY = {
    "Transformer": """
        base.modules base.modules.transformer models models.Transformer sentence_transformer.modules
        cross_encoder.modules sparse_encoder.modules sparse_encoder.models""",
    "Dense": """
        base.modules base.modules.dense models models.Dense sentence_transformer.modules
        cross_encoder.modules sparse_encoder.modules sparse_encoder.models""",
    "Normalize": """
        base.modules base.modules.normalize models models.Normalize sentence_transformer.modules
        sentence_transformer.modules.normalize""",
    "Pooling": """
        models models.Pooling models.pooling sentence_transformer.modules sentence_transformer.modules.pooling""",
    "LayerNorm": """
        models models.LayerNorm models.layer_norm sentence_transformer.modules
        sentence_transformer.modules.layer_norm""",
    "LogitScore": "cross_encoder.modules cross_encoder.modules.logit_score",
}
TYPES = [
    (f"sentence_transformers.{package}.{name}", name)
    for name, packages in HISTORY.items()
    for package in packages.split()
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def install_class(site: Path, name: str, code: str = "", *, requires: tuple[str, ...] = ()) -> None:
    """Install ``acme-<name>`` 1.0, with a class of that name behind the code given."""
    package = f"acme_{name.lower()}"
    install(
        site,
        f"acme-{name.lower()}",
        modules={name: f"{package}:{name}"},
        requires=requires,
        files={f"{package}/__init__.py": f"{code}\nclass {name}: pass\n"},
    )


# -- finding -----------------------------------------------------------------------------------------------------------


def test_finding_and_looking_up_import_nothing(site: Path, tmp_path: Path) -> None:
    install_class(site, "Loud", canary(tmp_path / "imported") + "raise RuntimeError('imported')")
    plugins = registry_of(site)
    assert [found.name for found in plugins.find()] == plugins.names() == ["Loud"]
    found = plugins.lookup("Loud")
    assert found is not None
    assert (found.distribution, found.version, found.value) == ("acme-loud", "1.0", "acme_loud:Loud")
    assert not (tmp_path / "imported").exists()


@pytest.mark.slow
def test_the_standard_plugins_are_found_without_torch() -> None:
    printed = run_python(
        is_new=True,
        code="""
        import sys
        import pairchain
        print({"Dense", "Transformer"} <= set(pairchain.registry.names()))
        heavy = ("torch", "transformers", "pairchain_dense", "pairchain_transformer")
        print([name for name in heavy if name in sys.modules])
    """,
    )
    assert printed.splitlines() == ["True", "[]"]


def test_what_is_found_is_sorted_by_name(site: Path) -> None:
    for name in ("Middle", "Zeta", "Alpha"):
        install_class(site, name)
    assert [found.name for found in registry_of(site).find()] == ["Alpha", "Middle", "Zeta"]


def test_metadata_is_read_once_until_refreshed(site: Path) -> None:
    install_class(site, "Early")
    readings = []

    def distributions() -> Iterable[Distribution]:
        readings.append("once more")
        return importlib_metadata.distributions(path=[str(site)])

    plugins = Registry(installation=Installation(distributions=distributions))
    plugins.find()
    plugins.installation.find(HOOKS_GROUP)
    plugins.load("Early")
    assert len(readings) == 1
    plugins.refresh()
    plugins.find()
    assert len(readings) == 2


def test_a_plugin_installed_meanwhile_is_seen_after_refresh(site: Path) -> None:
    install_class(site, "Early")
    plugins = registry_of(site)
    plugins.load("Early")
    before = site.stat()
    install_class(site, "Late")
    # as on a file system with coarse times, where Python's own caches take the folder for unchanged
    os.utime(site, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UnknownTypeError):
        plugins.load("Late")
    plugins.refresh()
    assert plugins.load("Late").__module__ == "acme_late"


def test_loading_a_type_imports_its_plugin_and_no_other(site: Path, tmp_path: Path) -> None:
    install_class(site, "Wanted", canary(tmp_path / "wanted"))
    install_class(site, "Other", canary(tmp_path / "other"))
    assert registry_of(site).load("Wanted").__name__ == "Wanted"
    assert (tmp_path / "wanted").exists()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("type_name", "name"), TYPES, ids=[type_name for type_name, _ in TYPES])
def test_every_type_string_ever_saved_is_ours(type_name: str, name: str) -> None:
    cls = registry.load(type_name)
    assert cls is registry.load(name)
    assert cls.__name__ == name
    assert cls.__module__.startswith("pairchain_")


def test_a_class_has_all_the_names_it_is_announced_under(site: Path) -> None:
    names = {"Short": "acme:Head", "acme.Head": "acme:Head", "legacy.models.Head": "acme:Head"}
    install(site, "acme", modules=names, files={"acme.py": "class Head: pass\n"})
    plugins = registry_of(site)
    assert len({plugins.load(name) for name in names}) == 1
    assert plugins.names_of(plugins.load("Short")) == ("Short", "acme.Head", "legacy.models.Head")


# -- plugins that do not work ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise ImportError('libfoo.so.3 is missing')", "ImportError: libfoo.so.3 is missing"),
        ("def broken(:", "SyntaxError: "),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("1 / 0", "ZeroDivisionError: "),
        ("raise RuntimeError('CUDA is too old')", "RuntimeError: CUDA is too old"),
    ],
)
def test_a_plugin_that_fails_to_import_is_named_and_the_others_work(site: Path, code: str, cause: str) -> None:
    install_class(site, "Broken", code)
    install_class(site, "Healthy")
    plugins = registry_of(site)
    with pytest.raises(PluginImportError) as caught:
        plugins.load("Broken")
    error = caught.value
    assert (error.distribution, error.version) == ("acme-broken", "1.0")
    assert error.entry_point == "Broken = acme_broken:Broken"
    assert error.__cause__ is not None
    for part in (cause, "acme-broken 1.0", "Broken = acme_broken:Broken", "PAIRCHAIN_DISABLE_PLUGINS"):
        assert part in str(error)
    assert plugins.load("Healthy").__name__ == "Healthy"


@pytest.mark.parametrize("value", ["acme_real:Missing", "acme_missing:Head", "not a path!", ""])
def test_an_entry_point_that_leads_nowhere_is_named_and_the_others_work(site: Path, value: str) -> None:
    install_class(site, "Real")
    install(site, "acme-lost", "2.5", modules={"Lost": value})
    plugins = registry_of(site)
    with pytest.raises(PluginImportError, match=r"acme-lost 2\.5, entry point Lost = "):
        plugins.load("Lost")
    real = plugins.load("Real")
    assert plugins.names_of(real) == ("Real",)
    assert str(plugins.origin(real)) == "acme-real 1.0"


@pytest.mark.parametrize("value", ["acme:make", "acme:head", "acme"])
def test_an_entry_point_to_something_that_is_no_class_is_refused(site: Path, value: str) -> None:
    files = {"acme.py": "class Head: pass\nhead = Head()\ndef make(): return Head()\n"}
    install(site, "acme", modules={"Thing": value}, files=files)
    with pytest.raises(PluginError, match="'Thing' is not a class") as caught:
        registry_of(site).load("Thing")
    assert f"acme 1.0, entry point Thing = {value}" in str(caught.value)


def test_a_plugin_that_was_repaired_loads_after_refresh(site: Path) -> None:
    install_class(site, "Head", "raise RuntimeError")
    plugins = registry_of(site)
    with pytest.raises(PluginImportError):
        plugins.load("Head")
    (site / "acme_head/__init__.py").write_text("class Head: 'repaired, and longer'\n")
    plugins.refresh()
    assert plugins.load("Head").__doc__ == "repaired, and longer"


def test_what_an_installation_left_half_done_disturbs_nobody(site: Path) -> None:
    install_class(site, "Whole")
    (install(site, "acme-half", modules={"Half": "acme_half:Half"}) / "METADATA").unlink()
    plugins = registry_of(site, PAIRCHAIN_DISABLE_PLUGINS="acme-whole")
    assert plugins.names() == ["Half"]
    with pytest.raises(PluginImportError, match="entry point Half = acme_half:Half"):
        plugins.load("Half")


@pytest.mark.parametrize("requirement", ["pairchain-core>=2", "pairchain_core<0.3", "Pairchain.Core==0.4.*"])
def test_a_plugin_for_another_core_is_refused_before_it_runs(site: Path, tmp_path: Path, requirement: str) -> None:
    install_class(site, "Head", canary(tmp_path / "imported"), requires=("numpy", requirement))
    with pytest.raises(PluginVersionError) as caught:
        registry_of(site, core_version="0.3.1").load("Head")
    assert "pairchain-core is 0.3.1" in str(caught.value)
    assert requirement in str(caught.value)
    assert "acme-head 1.0, entry point Head = acme_head:Head" in str(caught.value)
    assert "pip install --upgrade acme-head pairchain-core" in str(caught.value)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    "requires",
    [
        (),
        ("pairchain-core",),
        ("pairchain-core>=0.3,<0.4",),
        ('pairchain-core>=2; extra == "next"', 'pairchain-core<0.1; python_version < "3"'),
        ("this is no requirement", "torch>=99"),
    ],
)
def test_a_plugin_whose_requirement_on_the_core_is_met_loads(site: Path, requires: tuple[str, ...]) -> None:
    install_class(site, "Head", requires=requires)
    assert registry_of(site, core_version="0.3.1").load("Head").__name__ == "Head"


# -- types nobody provides ---------------------------------------------------------------------------------------------


def test_an_unknown_type_gets_the_nearest_name(site: Path) -> None:
    install_class(site, "Temperature")
    with pytest.raises(UnknownTypeError, match=r"'Temprature' \(did you mean 'Temperature'\?\)"):
        registry_of(site).load("Temprature")


@pytest.mark.parametrize(
    ("type_name", "distribution"),
    [
        *[(name, "pairchain-" + name.lower()) for name in ("Transformer", "Dense", "Pooling", "Normalize", "Router")],
        ("LogitScore", "pairchain-logit-score"),
        ("LayerNorm", "pairchain-layer-norm"),
        ("sentence_transformers.models.LayerNorm", "pairchain-layer-norm"),
        ("sentence_transformers.base.modules.router.Router", "pairchain-router"),
    ],
)
def test_a_standard_type_that_is_not_installed_says_what_to_install(
    site: Path, type_name: str, distribution: str
) -> None:
    with pytest.raises(UnknownTypeError, match=f"pip install {distribution}$"):
        registry_of(site).load(type_name)


def test_one_damaged_distribution_does_not_hide_the_others(site: Path) -> None:
    install(site, "good-heads", modules={"Good": "good_heads:Good"}, files={"good_heads.py": "class Good: pass\n"})
    damaged = install(site, "damaged-heads", modules={"Bad": "damaged_heads:Bad"})
    (damaged / "entry_points.txt").write_text("[pairchain.modules]\nthis line is no entry point\n")
    with pytest.warns(PairchainWarning, match="the entry points of damaged-heads cannot be read"):
        names = Registry().names()
    assert "Good" in names
    assert "Dense" in names
