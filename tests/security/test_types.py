"""A type string imports nothing: a dotted path of the machine's own modules is only a name that nobody provides."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from traps import Canary, router, with_module, with_types
from warm import warm_python

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import ChainError, PairchainError, TrustRequiredError, UnknownTypeError, UnsafePathError

INSTALLED = [
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "torch.nn.Linear",
    "torch.nn.modules.linear.Linear",
    "transformers.pipeline",
    "pairchain.persistence.load.load_module",
    "sentence_transformers.util.http_get",
    "sentence_transformers.models.os",
    "sentence_transformers.base.modules.torch.nn.Identity",
    "sentence_transformers.SentenceTransformer",
]


@pytest.mark.parametrize("type_name", INSTALLED)
@pytest.mark.parametrize("trust", [False, True])
def test_what_is_installed_is_no_module_for_being_named(type_name: str, trust: bool, classifier: Path) -> None:
    with_module(classifier, type_name)

    with pytest.raises((UnknownTypeError, ChainError), match=type_name.rpartition(".")[2]):
        CrossEncoder(classifier, device="cpu", trust_remote_code=trust)

    (problem,) = [problem for problem in pairchain.inspect(classifier).problems if problem.about == "type"]
    assert type_name in problem.text


@pytest.mark.slow
def test_a_module_on_the_path_is_not_imported(classifier: Path, canary: Canary, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "lurking.py").write_text(canary.head())
    with_module(classifier, "lurking.Head")
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
import pairchain
try:
    pairchain.CrossEncoder({str(classifier)!r}, device="cpu", trust_remote_code=True)
except pairchain.errors.UnknownTypeError as error:
    print("refused", error.what)
"""
    # where Python looks first, there is one too
    done = subprocess.run([*warm_python(), "-c", code], cwd=site, capture_output=True, text=True, check=True)

    assert "refused" in done.stdout
    assert "lurking.Head" in done.stdout
    assert not canary.sang


CLIMBING = [
    "../evil.Head",
    "..evil.Head",
    "/abs/evil.Head",
    "\\\\server\\share.Head",
    "C:\\evil.Head",
    "C:evil.Head",
    "evil\0.Head",
    "owner/name--..evil.Head",
    "owner/name--/etc/evil.Head",
    "owner/name--../evil.Head",
    "../evil--evil.Head",
    "/abs/folder--evil.Head",
    "./folder--evil.Head",
    "C:\\folder--evil.Head",
    "https://evil.example/x--evil.Head",
    "owner/name/more--evil.Head",
    "owner/name@main--evil.Head",
]


@pytest.mark.parametrize("type_name", CLIMBING)
def test_a_type_that_leads_out_of_the_model_is_refused(
    type_name: str, classifier: Path, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "folder", tmp_path / "evil"):
        folder.mkdir(exist_ok=True)
        (folder / "evil.py").write_text(canary.head())
    monkeypatch.chdir(tmp_path / "folder")
    with_module(classifier, type_name, path="9_Head")

    with pytest.raises(PairchainError) as caught:
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)

    assert not isinstance(caught.value, TrustRequiredError)
    assert any(problem.fails for problem in pairchain.inspect(classifier).problems)
    assert not canary.sang


OUTSIDE = ["..", "../other", "a/../../other", "/etc", "\\other", "C:\\other", "C:other", "a\0b", "..\\other"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_folder_outside_the_model_is_refused(path: str, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with_module(classifier, "Normalize", path=path)

    with pytest.raises(UnsafePathError, match="entry 1: the path") as caught:
        CrossEncoder(classifier, device="cpu")

    assert repr(path) in caught.value.what
    assert repr(path) in str(pairchain.inspect(classifier))


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_route_s_folder_outside_the_model_is_refused(path: str, classifier: Path) -> None:
    router(classifier, {path: "Normalize"})

    with pytest.raises(UnsafePathError, match="a module's folder") as caught:
        CrossEncoder(classifier, device="cpu")

    assert repr(path) in caught.value.what
    assert repr(path) in str(pairchain.inspect(classifier))


@pytest.mark.parametrize("subfolder", ["..", "/etc", "a/../..", "C:\\x"])
def test_a_subfolder_outside_the_model_is_refused(subfolder: str, classifier: Path) -> None:
    for call in (CrossEncoder, pairchain.inspect, pairchain.lock):
        with pytest.raises(UnsafePathError, match="subfolder"):
            call(classifier, subfolder=subfolder)


def test_a_file_beside_the_model_does_not_hide_behind_a_plugin_s_name(classifier: Path, canary: Canary) -> None:
    (classifier / "pairchain_transformer.py").write_text(canary.head().replace("Head", "Transformer"))
    with_types(classifier, "pairchain_transformer.Transformer")

    assert type(CrossEncoder(classifier, device="cpu")[0]).__module__ == "pairchain_transformer.transformer"
    assert not canary.sang


def test_only_plugins_that_the_environment_lists_are_imported(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_module(classifier, "Normalize")
    (classifier / "9_Normalize").mkdir()
    monkeypatch.setenv("PAIRCHAIN_PLUGINS", "pairchain-transformer")

    with pytest.raises(PairchainError, match="PAIRCHAIN_PLUGINS"):
        CrossEncoder(classifier, device="cpu")


def test_the_environment_grants_no_trust(classifier: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAIRCHAIN_TRUST_REMOTE_CODE", "TRUST_REMOTE_CODE", "HF_TRUST_REMOTE_CODE", "PAIRCHAIN_ALLOW_PICKLE"):
        monkeypatch.setenv(name, "1")
    with_module(classifier, "head.Head", {"head.py": canary.head()})

    with pytest.raises(TrustRequiredError):
        CrossEncoder(classifier, device="cpu")
    assert not canary.sang
