"""`pairchain.modules`: every installed module by its short name, and a plugin's whole life as a wheel."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_folders import HEAD, canary, give_last_module, importable, install, run_python

import pairchain.modules
from pairchain import CrossEncoder, InputModule, Module, registry
from pairchain.errors import PluginImportError, UnknownTypeError
from pairchain.registry.groups import STANDARD_DISTRIBUTIONS

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-heads"
version = "1.2.3"
dependencies = ["pairchain-core>=0.1"]

[project.entry-points."pairchain.modules"]
"AcmeHead" = "acme_heads:Head"
"acme_heads.Head" = "acme_heads:Head"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def install_class(site: Path, name: str, code: str = "") -> None:
    """Install ``acme``, with a class of that name behind the code given, and have it seen."""
    install(site, "acme", modules={name: f"acme:{name}"}, files={"acme.py": f"{code}\nclass {name}: ...\n"})
    registry.refresh()


@pytest.mark.slow
def test_importing_one_module_imports_its_plugin_and_no_other() -> None:
    printed = run_python(
        is_new=True,
        code="""
        import sys
        import pairchain.modules
        print(sorted(name for name in sys.modules if name == "torch" or name.startswith("pairchain_")))
        from pairchain.modules import Dense
        print(Dense.__module__)
        print([name for name in ("pairchain_dense", "pairchain_pooling", "transformers") if name in sys.modules])
    """,
    )
    assert printed.splitlines() == ["[]", "pairchain_dense.dense", "['pairchain_dense']"]


def test_completion_offers_short_names_and_the_protocols_and_imports_nothing(site: Path, tmp_path: Path) -> None:
    install_class(site, "Loud", canary(tmp_path / "imported"))
    offered = dir(pairchain.modules)
    assert {"Dense", "Pooling", "Transformer", "Module", "InputModule", "Loud"} <= set(offered)
    assert offered == sorted(set(offered))
    assert all(name.isidentifier() for name in offered)
    assert not (tmp_path / "imported").exists()


def test_the_protocols_are_in_the_namespace() -> None:
    assert pairchain.modules.Module is Module
    assert pairchain.modules.InputModule is InputModule


def test_type_checkers_know_every_standard_module() -> None:
    typed: dict[str, object] = {}
    exec(Path(pairchain.modules.__file__).with_suffix(".pyi").read_text(), typed)
    classes = {name: value for name, value in typed.items() if isinstance(value, type) and name != "Any"}
    standard = {name for name in dir(pairchain.modules) if name in STANDARD_DISTRIBUTIONS}
    assert classes.keys() == {*standard, "Module", "InputModule"}
    assert all(getattr(pairchain.modules, name) is cls for name, cls in classes.items())


def test_a_misspelled_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownTypeError, match=r"'Dence' \(did you mean 'Dense'\?\)"):
        from pairchain.modules import Dence  # type: ignore[attr-defined]  # noqa: F401


@pytest.mark.parametrize("name", ["add", "pytestmark", "_repr_html_", "__wrapped__", "__path__", "Foo", "Dence"])
def test_tools_that_probe_the_namespace_get_an_attribute_error(name: str) -> None:
    assert not hasattr(pairchain.modules, name)
    assert getattr(pairchain.modules, name, None) is None


def test_an_attribute_that_no_plugin_provides_is_told_as_an_import_of_it() -> None:
    with pytest.raises(UnknownTypeError, match=r"'Dence' \(did you mean 'Dense'\?\)") as caught:
        _ = pairchain.modules.Dence
    assert isinstance(caught.value, AttributeError)
    assert caught.value.next_step.startswith("install the plugin")


def test_a_class_registered_by_hand_is_in_the_namespace_until_undone() -> None:
    class Notebook: ...

    undo = registry.register("Notebook", Notebook)
    assert pairchain.modules.Notebook is Notebook
    assert "Notebook" in dir(pairchain.modules)
    undo()
    assert "Notebook" not in dir(pairchain.modules)
    with pytest.raises(UnknownTypeError):
        _ = pairchain.modules.Notebook


def test_a_name_in_lower_case_that_is_registered_is_in_the_namespace(site: Path) -> None:
    install_class(site, "cosine")
    assert pairchain.modules.cosine.__module__ == "acme"


def test_a_plugin_that_fails_to_import_says_so(site: Path) -> None:
    install_class(site, "Broken", "import no_such_library")
    with pytest.raises(PluginImportError, match=r"acme 1\.0, entry point Broken = acme:Broken") as caught:
        from pairchain.modules import Broken  # type: ignore[attr-defined]  # noqa: F401
    assert "no_such_library" in str(caught.value)
    assert "Broken" in dir(pairchain.modules)


@pytest.mark.slow
def test_a_module_whose_plugin_a_setting_keeps_out_says_so() -> None:
    printed = run_python(
        """
        import pairchain.modules
        print("Dense" in dir(pairchain.modules))
        try:
            from pairchain.modules import Dense
        except pairchain.PairchainError as error:
            print(error)
        """,
        PAIRCHAIN_DISABLE_PLUGINS="pairchain-dense",
    )
    assert printed.startswith("False\n")
    assert "PAIRCHAIN_DISABLE_PLUGINS=pairchain-dense" in printed


# -- a plugin as a wheel -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a plugin's wheel as its author would, install it with pip, and return the folder it is in."""
    project = tmp_path_factory.mktemp("acme-heads")
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "acme_heads").mkdir()
    (project / "acme_heads/__init__.py").write_text(HEAD)
    target = project / "installed"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (wheel,) = project.glob("dist/*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, target, wheel], check=True, capture_output=True)
    return target


@pytest.mark.slow
def test_a_model_with_a_plugin_loads_once_the_wheel_is_installed_and_no_flag_is_needed(
    installed_wheel: Path, pooled: Path, tmp_path: Path
) -> None:
    give_last_module(pooled, "acme_heads.Head", distribution="acme-heads", version="1.0")
    with pytest.raises(UnknownTypeError, match="pip install acme-heads"):
        CrossEncoder(pooled)
    printed = run_python(
        f"""
        from pairchain import CrossEncoder
        from pairchain.modules import AcmeHead
        model = CrossEncoder({os.fspath(pooled)!r})
        print(type(model[2]) is AcmeHead, model.origins["2"])
        print(model.predict([("a", "b"), ("c", "d")]).shape)
        model.save_pretrained({os.fspath(tmp_path / "saved")!r})
        """,
        installed_wheel,
    )
    assert printed.splitlines() == ["True acme-heads 1.2.3", "(2,)"]
    saved = (tmp_path / "saved/modules.json").read_text()
    assert '"type": "acme_heads.Head"' in saved
    assert '"distribution": "acme-heads"' in saved
    assert '"version": "1.2.3"' in saved


@pytest.mark.slow
def test_a_wheel_installed_while_the_process_runs_is_seen_after_refresh(
    installed_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "AcmeHead" not in dir(pairchain.modules)
    monkeypatch.setattr(sys, "path", [*sys.path, os.fspath(installed_wheel)])
    assert "AcmeHead" not in dir(pairchain.modules)
    registry.refresh()
    try:
        assert pairchain.modules.AcmeHead.__module__ == "acme_heads"
        assert str(registry.default.origin(pairchain.modules.AcmeHead)) == "acme-heads 1.2.3"
    finally:
        monkeypatch.undo()
        sys.modules.pop("acme_heads", None)
        importlib.invalidate_caches()
        registry.refresh()
    assert "AcmeHead" not in dir(pairchain.modules)
