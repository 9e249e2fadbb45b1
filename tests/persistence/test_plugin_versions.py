"""A model that one version of a plugin saved, and another version, or another plugin, reads."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plugin_folders import importable, install
from torch import nn

import pairchain
from pairchain import CrossEncoder, PairchainError, PairchainWarning, registry
from pairchain.errors import ChainError, FormatError, PluginConflictError, PluginVersionError, UnknownTypeError

PAIR = ("a", "bbbb")
TYPE = "acme_heads.Scorer"
# What a plugin has besides the standard modules: one class that scores a pair by the letters of its document.
CODE = """
import torch
from pairchain import InputModule

class Scorer(InputModule):
    config_keys = ["gain"]
    writes = frozenset({"scores"})
    save_in_root = False
    saves_weights = True
    num_labels = 1

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def preprocess(self, inputs, prompt=None, **kwargs):
        return {"letters": torch.tensor([[float(len(second))] for _, second in inputs])}

    def forward(self, features, **kwargs):
        features["scores"] = features["letters"] * self.gain + self.bias
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization)
"""
SAVED_BY = "saved by acme-heads 1.0, installed {0}: pip install 'acme-heads==1.0'"
RENAMED_TYPE = {"acme_heads.NewScorer": "acme_heads:Scorer"}

Release = Callable[..., None]


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    """A function that installs a version of a plugin, instead of the one that is installed."""
    with importable(tmp_path / "site") as site:

        def install_version(
            version: str, code: str = CODE, *, name: str = "acme-heads", modules: dict[str, str] | None = None
        ) -> None:
            package = name.replace("-", "_")
            for old in site.glob(f"{package}*"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            shutil.rmtree(site / "__pycache__", ignore_errors=True)
            sys.modules.pop(package, None)
            if version:
                named = {TYPE: f"{package}:Scorer"} if modules is None else modules
                install(site, name, version, modules=named, files={f"{package}.py": code})
            importlib.invalidate_caches()
            registry.refresh()

        yield install_version


@pytest.fixture
def saved(release: Release, tmp_path: Path) -> Path:
    """A model that acme-heads 1.0 saved."""
    release("1.0")
    CrossEncoder(modules=[registry.load(TYPE)(gain=2.0)], activation_fn=nn.Identity()).save_pretrained(
        tmp_path / "model"
    )
    return tmp_path / "model"


def entry_of(folder: Path) -> dict[str, str]:
    (entry,) = json.loads((folder / "modules.json").read_text())
    return dict(entry)


def told(folder: Path) -> str:
    """Return everything that a report says is wrong, or odd, with the model."""
    return "\n".join(f"{problem.text} {problem.next_step}" for problem in pairchain.inspect(folder).problems)


@pytest.mark.parametrize("version", ["0.5", "4.0"])
@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("self.bias", "self.offset", FormatError),
        ("zeros(1)", "zeros(2)", FormatError),
        ("class Scorer", "class Ranker", pairchain.errors.PluginImportError),
        ("def __init__(self, gain=1.0):", "def __init__(self, gain):\n        gain['a']", FormatError),
        ("import torch\n", "import torch, no_such_library\n", pairchain.errors.PluginImportError),
        ('writes = frozenset({"scores"})', 'writes = frozenset({"logits"})', ChainError),
    ],
    ids=["weights renamed", "weights of another shape", "class gone", "load fails", "import fails", "no scores"],
)
def test_every_error_of_a_module_says_which_version_saved_it(
    release: Release, saved: Path, version: str, old: str, new: str, error: type[PairchainError]
) -> None:
    release(version, CODE.replace(old, new))
    with pytest.raises(error) as caught:
        CrossEncoder(saved)
    assert caught.value.saved_by == SAVED_BY.format(version)
    assert SAVED_BY.format(version) in str(caught.value)
    release("1.0")
    assert CrossEncoder(saved).predict(PAIR) == 8


@pytest.mark.parametrize("version", ["0.5", "4.0"])
def test_a_warning_of_a_module_says_which_version_saved_it(release: Release, saved: Path, version: str) -> None:
    release(version, CODE.replace("gain", "scale"))
    with pytest.warns(PairchainWarning, match="has the key 'gain', which is not known") as caught:
        CrossEncoder(saved)
    assert SAVED_BY.format(version) in str(caught[0].message)
    assert caught[0].message.saved_by == SAVED_BY.format(version)  # type: ignore[union-attr]
    assert SAVED_BY.format(version) in told(saved)


def test_a_type_that_the_installed_version_does_not_have_any_more(release: Release, saved: Path) -> None:
    release("4.0", modules=RENAMED_TYPE)
    with pytest.raises(
        UnknownTypeError, match=r"acme-heads 4\.0, which is installed, does not provide the type"
    ) as caught:
        CrossEncoder(saved)
    assert "did you mean 'acme_heads.NewScorer'?" in str(caught.value)
    assert caught.value.next_step == caught.value.saved_by == SAVED_BY.format("4.0")
    assert SAVED_BY.format("4.0") in told(saved)
    release("1.0", modules=RENAMED_TYPE)
    with pytest.raises(UnknownTypeError) as caught:
        CrossEncoder(saved)
    assert (caught.value.next_step, caught.value.saved_by) == ("pip install --force-reinstall acme-heads", "")


def test_the_same_version_is_no_matter(release: Release, saved: Path) -> None:
    file = saved / "modules.json"
    file.write_text(file.read_text().replace('"version": "1.0"', '"version": "1.0.0"'))
    release("1.0", CODE.replace("gain", "scale"))
    with pytest.warns(PairchainWarning, match="has the key 'gain'") as caught:
        CrossEncoder(saved)
    assert "saved by" not in str(caught[0].message)
    assert caught[0].message.saved_by == ""  # type: ignore[union-attr]
    assert "saved by" not in told(saved)


def test_a_newer_version_without_a_fault_loads_without_a_warning(release: Release, saved: Path) -> None:
    release("1.1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CrossEncoder(saved).predict(PAIR) == 8
    assert not pairchain.inspect(saved).failures
    assert SAVED_BY.format("1.1") in told(saved)


def test_a_version_that_is_too_old_for_what_was_saved_refuses_it(release: Release, tmp_path: Path) -> None:
    release("2.0", CODE.replace("num_labels = 1", 'num_labels = 1\n    reads_saved_by = "1.5"'))
    CrossEncoder(modules=[registry.load(TYPE)(gain=2.0)], activation_fn=nn.Identity()).save_pretrained(
        tmp_path / "model"
    )
    assert entry_of(tmp_path / "model")["reads_saved_by"] == "1.5"
    for version in ("1.5", "1.7", "3.0"):
        release(version)
        assert CrossEncoder(tmp_path / "model").predict(PAIR) == 8
    release("1.4")
    with pytest.raises(PluginVersionError, match=r"which only acme-heads 1\.5 and newer read") as caught:
        CrossEncoder(tmp_path / "model")
    error = caught.value
    assert (error.distribution, error.version) == ("acme-heads", "1.4")
    assert error.saved_by == "saved by acme-heads 2.0, installed 1.4: pip install 'acme-heads==2.0'"
    assert "pip install 'acme-heads>=1.5'" in error.next_step
    (problem,) = pairchain.inspect(tmp_path / "model").failures
    assert "which only acme-heads 1.5 and newer read" in problem.text
    # a class that you pass in is yours to choose
    given = registry.load(TYPE)
    assert CrossEncoder(tmp_path / "model", module_classes={TYPE: given}).predict(PAIR) == 8


def test_the_plugin_that_saved_a_model_settles_a_conflict(release: Release, saved: Path) -> None:
    release("2.0", CODE.replace("self.gain +", "100 +"), name="beta-heads")
    with pytest.raises(PluginConflictError):
        registry.load(TYPE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = CrossEncoder(saved)
    assert (model.predict(PAIR), model.origins["0"].distribution) == (8, "acme-heads")
    report = pairchain.inspect(saved)
    assert not report.failures
    assert report.modules[0].provider.plugin.distribution == "acme-heads"  # type: ignore[union-attr]
    file = saved / "modules.json"
    file.write_text(file.read_text().replace('"acme-heads"', '"gamma-heads"'))
    with pytest.raises(PluginConflictError):
        CrossEncoder(saved)


def test_another_plugin_that_takes_a_type_over_is_said_aloud(release: Release, saved: Path) -> None:
    release("")
    release("2.0", CODE.replace("self.gain +", "100 +"), name="beta-heads")
    with pytest.warns(
        PairchainWarning, match=r"was saved by acme-heads 1\.0, and beta-heads 2\.0 provides it now"
    ) as caught:
        assert CrossEncoder(saved).predict(PAIR) != 8
    # only the model's files name that plugin
    assert "Look at https://pypi.org/project/acme-heads/ first" in str(caught[0].message)
    assert "beta-heads 2.0 provides it now" in told(saved)
    release("4.0", modules=RENAMED_TYPE)
    with pytest.warns(PairchainWarning, match="pip install 'acme-heads==1.0'"):
        CrossEncoder(saved)


def test_the_version_that_saved_a_model_is_advised_if_its_plugin_is_absent_or_disabled(
    release: Release, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRCHAIN_DISABLE_PLUGINS", "acme-heads")
    with pytest.raises(UnknownTypeError, match=r"acme-heads 1\.0, which provides the type .*, is disabled"):
        CrossEncoder(saved)
    release("2.0", name="beta-heads")
    with pytest.warns(PairchainWarning, match="To get the plugin that saved it: change PAIRCHAIN_DISABLE_PLUGINS"):
        CrossEncoder(saved)
    monkeypatch.delenv("PAIRCHAIN_DISABLE_PLUGINS")
    release("", name="beta-heads")
    release("")
    with pytest.raises(UnknownTypeError, match="Only if you trust it: pip install acme-heads"):
        CrossEncoder(saved)
    release("0.9", modules=RENAMED_TYPE)
    with pytest.raises(UnknownTypeError, match=r"pip install 'acme-heads==1\.0'; or pip install --upgrade acme-heads"):
        CrossEncoder(saved)


def test_modules_inside_a_router_are_held_to_the_same(release: Release, tmp_path: Path) -> None:
    from pairchain.modules import Router

    release("2.0", CODE.replace("num_labels = 1", 'num_labels = 1\n    reads_saved_by = "1.5"'))
    inner = registry.load(TYPE)(gain=2.0)
    CrossEncoder(
        modules=[Router({"text": [inner]}, default_route="text")], activation_fn=nn.Identity()
    ).save_pretrained(tmp_path / "model")
    release("1.7", CODE.replace("self.bias", "self.offset"))
    with pytest.raises(FormatError, match=r"saved by acme-heads 2\.0, installed 1\.7: pip install 'acme-heads==2\.0'"):
        CrossEncoder(tmp_path / "model")
    release("1.4")
    with pytest.raises(PluginVersionError, match=r"which only acme-heads 1\.5 and newer read"):
        CrossEncoder(tmp_path / "model")
    assert "which only acme-heads 1.5 and newer read" in told(tmp_path / "model")


@pytest.mark.parametrize("version", ["", "no version", "1" * 1000, "1.0\n  next: rm -rf"])
def test_what_is_recorded_of_a_version_is_never_more_than_advice(release: Release, saved: Path, version: str) -> None:
    file = saved / "modules.json"
    file.write_text(json.dumps([{**entry_of(saved), "version": version, "reads_saved_by": version}]))
    release("4.0", CODE.replace("self.bias", "self.offset"))
    with pytest.raises(FormatError) as caught:
        CrossEncoder(saved)
    assert caught.value.saved_by == ""
    assert "rm -rf" not in str(caught.value)


@pytest.mark.parametrize("oldest", ["'9.0'", "'newest'", "2"])
def test_an_oldest_version_that_cannot_be_is_refused_when_the_model_is_saved(
    release: Release, tmp_path: Path, oldest: str
) -> None:
    release("1.0", CODE.replace("num_labels = 1", f"num_labels = 1\n    reads_saved_by = {oldest}"))
    with pytest.raises(FormatError, match=r"Scorer\.reads_saved_by is"):
        CrossEncoder(modules=[registry.load(TYPE)()]).save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
