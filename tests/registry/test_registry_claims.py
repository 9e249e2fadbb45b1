"""Who may provide a name: conflicts, reserved names, the two settings, registration by hand, and provenance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_folders import canary, importable, install, registry_of, run_python

from pairchain import CrossEncoder, PairchainWarning, registry
from pairchain.errors import InputError, PluginConflictError, UnknownTypeError
from pairchain.registry import Registry
from pairchain.registry.installation import ALLOW_VARIABLE, DISABLE_VARIABLE


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def install_class(site: Path, distribution: str, name: str, version: str = "1.0", *, code: str = "") -> None:
    """Install a distribution with one class, named as its type is, behind the code given."""
    package = distribution.lower().replace("-", "_")
    install(
        site,
        distribution,
        version,
        modules={name: f"{package}:{name}"},
        files={f"{package}.py": f"{code}\nclass {name}: pass\n"},
    )


# -- two distributions with one name -----------------------------------------------------------------------------------


def test_two_distributions_with_one_name_are_an_error_of_that_name_only(site: Path) -> None:
    install_class(site, "zeta-heads", "Head", "2.5", code="raise RuntimeError('imported')")
    install_class(site, "acme-heads", "Head", "1.4", code="raise RuntimeError('imported')")
    install_class(site, "acme-other", "Other")
    plugins = registry_of(site)
    assert plugins.names() == ["Head", "Other"]
    assert plugins.load("Other").__module__ == "acme_other"
    with pytest.raises(PluginConflictError, match="2 installed plugins register the type 'Head'") as caught:
        plugins.load("Head")
    assert "acme-heads 1.4 (acme_heads:Head) and zeta-heads 2.5 (zeta_heads:Head)" in str(caught.value)
    assert DISABLE_VARIABLE in caught.value.next_step


@pytest.mark.parametrize(
    "setting", [{DISABLE_VARIABLE: "zeta-heads"}, {ALLOW_VARIABLE: "acme-heads"}], ids=["disable", "allow"]
)
def test_either_setting_resolves_a_conflict(site: Path, setting: dict[str, str]) -> None:
    install_class(site, "acme-heads", "Head")
    install_class(site, "zeta-heads", "Head")
    assert registry_of(site, **setting).load("Head").__module__ == "acme_heads"


def test_a_class_registered_by_hand_resolves_a_conflict(site: Path) -> None:
    class Mine: ...

    install_class(site, "acme-heads", "Head")
    install_class(site, "zeta-heads", "Head")
    plugins = registry_of(site)
    plugins.register("Head", Mine)
    assert plugins.load("Head") is Mine


def test_a_distribution_that_is_on_the_path_twice_does_not_conflict_with_itself(site: Path) -> None:
    install_class(site, "acme-heads", "Head")
    assert registry_of(site, site).load("Head").__module__ == "acme_heads"


def test_two_distributions_that_announce_the_same_line_conflict_as_well(site: Path) -> None:
    install_class(site, "acme", "Head")
    install(site, "acme-fork", "1.1", modules={"Head": "acme:Head"})
    with pytest.raises(PluginConflictError, match=r"acme 1\.0 \(acme:Head\) and acme-fork 1\.1 \(acme:Head\)"):
        registry_of(site).load("Head")


# -- reserved names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Dense", "sentence_transformers.models.Dense"])
def test_a_stranger_does_not_get_a_standard_name(site: Path, tmp_path: Path, name: str) -> None:
    files = {"acme.py": canary(tmp_path / "imported") + "class Dense: pass\n", "standard.py": "class Dense: pass\n"}
    install(site, "acme", modules={name: "acme:Dense"}, files=files)
    install(site, "pairchain-dense", modules={name: "standard:Dense"})
    plugins = registry_of(site)
    with pytest.warns(PairchainWarning, match=r"acme 1\.0 registers .*; pairchain-dense is used"):
        assert plugins.load(name).__module__ == "standard"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plugins.load(name)
    assert not (tmp_path / "imported").exists()


def test_a_stranger_does_not_get_a_standard_name_that_nobody_else_provides(site: Path, tmp_path: Path) -> None:
    install_class(site, "acme", "Dense", code=canary(tmp_path / "imported"))
    with pytest.raises(PluginConflictError, match="reserved for pairchain-dense, and no installed") as caught:
        registry_of(site).load("Dense")
    assert caught.value.distribution == "acme"
    assert caught.value.next_step == "pip install --upgrade pairchain-dense"
    assert not (tmp_path / "imported").exists()
    with pytest.raises(UnknownTypeError, match="pip install pairchain-dense"):
        registry_of(site, PAIRCHAIN_DISABLE_PLUGINS="acme").load("Dense")


def test_a_stranger_does_not_get_a_path_of_a_standard_module_that_was_never_saved(site: Path) -> None:
    name = "sentence_transformers.elsewhere.Dense"
    install(site, "acme", modules={name: "acme:Dense"})
    install_class(site, "pairchain-dense", "Dense")
    with pytest.raises(PluginConflictError, match="no installed pairchain-dense provides it"):
        registry_of(site).load(name)


def test_a_stranger_does_not_get_a_standard_name_by_a_setting(site: Path) -> None:
    install_class(site, "acme", "Dense")
    install_class(site, "pairchain-dense", "Dense")
    with pytest.raises(PluginConflictError, match=f"reserved for pairchain-dense, and {ALLOW_VARIABLE} disables that"):
        registry_of(site, PAIRCHAIN_PLUGINS="acme").load("Dense")


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ({}, ["Blue", "Green", "Red"]),
        ({DISABLE_VARIABLE: "acme-red"}, ["Blue", "Green"]),
        ({DISABLE_VARIABLE: " ACME.Red , acme-BLUE,"}, ["Green"]),
        ({DISABLE_VARIABLE: "acme-red acme-blue"}, ["Green"]),
        ({DISABLE_VARIABLE: ""}, ["Blue", "Green", "Red"]),
        ({ALLOW_VARIABLE: "acme-red"}, ["Red"]),
        ({ALLOW_VARIABLE: "acme_red,Acme.Green"}, ["Green", "Red"]),
        ({ALLOW_VARIABLE: "acme-red,acme-green", DISABLE_VARIABLE: "acme-green"}, ["Red"]),
        ({ALLOW_VARIABLE: ""}, []),
    ],
)
def test_settings_name_distributions_in_any_spelling(site: Path, setting: dict[str, str], names: list[str]) -> None:
    install_class(site, "Acme_Red", "Red")
    install_class(site, "acme-green", "Green")
    install_class(site, "acme-blue", "Blue")
    assert registry_of(site, **setting).names() == names


@pytest.mark.parametrize("variable", [ALLOW_VARIABLE, DISABLE_VARIABLE])
def test_a_type_that_a_setting_keeps_out_is_not_imported_and_the_error_says_why(
    site: Path, tmp_path: Path, variable: str
) -> None:
    install_class(site, "acme-heads", "Head", code=canary(tmp_path / "imported"))
    install_class(site, "other", "Other")
    value = "other" if variable == ALLOW_VARIABLE else "acme-heads"
    plugins = registry_of(site, **{variable: value})
    with pytest.raises(UnknownTypeError, match=r"acme-heads 1\.0, which .* 'Head', is disabled") as caught:
        plugins.load("Head")
    assert caught.value.where == f"{variable}={value}"
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("variable", [ALLOW_VARIABLE, DISABLE_VARIABLE])
def test_a_setting_that_names_no_plugin_is_reported_with_the_nearest(site: Path, variable: str) -> None:
    install_class(site, "acme-heads", "Head")
    plugins = registry_of(site, **{variable: "acme_head"})
    with pytest.warns(PairchainWarning, match=rf"{variable} names 'acme-head'.*\(did you mean 'acme-heads'\?\)"):
        plugins.find()
    plugins.refresh()
    with pytest.warns(PairchainWarning, match=variable):
        plugins.find()


@pytest.mark.slow
def test_settings_are_read_from_the_environment(site: Path) -> None:
    code = "import pairchain; print(sorted({'Dense', 'Head', 'Pooling'}.intersection(pairchain.registry.names())))"
    install_class(site, "acme-heads", "Head")
    assert run_python(code, site) == "['Dense', 'Head', 'Pooling']"
    assert run_python(code, site, PAIRCHAIN_DISABLE_PLUGINS="acme_heads,pairchain_dense") == "['Pooling']"
    assert run_python(code, site, PAIRCHAIN_PLUGINS="acme-heads") == "['Head']"


# -- registering by hand -----------------------------------------------------------------------------------------------


def test_a_class_registered_by_hand_comes_before_a_plugin_until_undone(site: Path, tmp_path: Path) -> None:
    class Mine: ...

    install_class(site, "acme-head", "Head", code=canary(tmp_path / "imported"))
    plugins = registry_of(site)
    undo = plugins.register("Head", Mine)
    assert plugins.load("Head") is Mine
    assert plugins.names() == ["Head"]
    assert not (tmp_path / "imported").exists()
    undo()
    undo()
    assert plugins.load("Head").__module__ == "acme_head"


def test_registering_another_class_under_a_taken_name_is_refused(site: Path) -> None:
    class First: ...

    class Second: ...

    plugins = registry_of(site)
    undo_first = plugins.register("Head", First)
    plugins.register("Head", First)
    with pytest.raises(PluginConflictError, match=r"'Head' is already registered, for .*First\.") as caught:
        plugins.register("Head", Second)
    assert "undo" in caught.value.next_step
    undo_first()
    plugins.register("Head", Second)
    undo_first()
    assert plugins.load("Head") is Second


def test_registering_something_that_is_no_class_is_refused(site: Path) -> None:
    plugins = registry_of(site)
    for name, value in (("Head", object()), ("Head", "acme:Head"), (Registry, "Head")):
        with pytest.raises(InputError, match=r"is not a class|named by a string"):
            plugins.register(name, value)  # type: ignore[arg-type]
    assert plugins.names() == []


# -- who provides a class ----------------------------------------------------------------------------------------------


def test_the_origin_of_a_class_is_the_distribution_that_announces_it(site: Path) -> None:
    code = "class _Private: pass\nclass Outer:\n    class Inner: pass\nAlias = _Private\n"
    names = {"Alias": "acme:Alias", "Inner": "acme:Outer.Inner"}
    install(site, "Acme_Heads", "3.1", modules=names, files={"acme.py": code})
    plugins = registry_of(site)
    for name in names:
        origin = plugins.origin(plugins.load(name))
        assert (origin.distribution, origin.version, origin.module) == ("acme-heads", "3.1", "acme")
        assert str(origin) == "acme-heads 3.1"


def test_the_origin_of_a_class_of_nobody_is_the_module_that_defines_it(site: Path) -> None:
    class Mine: ...

    plugins = registry_of(site)
    plugins.register("Mine", Mine)
    assert str(plugins.origin(Mine)) == f"defined in {__name__}"


def test_a_stranger_that_renames_a_standard_class_does_not_become_its_provider(site: Path) -> None:
    install(site, "acme-copycat", modules={"AAA": "pairchain_dense:Dense"})
    registry.refresh()
    assert registry.default.origin(registry.load("AAA")).distribution == "pairchain-dense"


def test_a_chain_tells_who_provides_each_of_its_modules(pooled: Path) -> None:
    model = CrossEncoder(pooled)
    names = ["pairchain-transformer", "pairchain-pooling", "pairchain-dense"]
    assert [origin.distribution for origin in model.origins.values()] == names
    assert all(origin.version for origin in model.origins.values())
