"""One chain with a module of every origin is saved, locked, moved, and loaded offline by a fresh process."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bridge_models import without_library
from hub_server import HubServer
from mixed_chain import CLASSES, PAIRS, approvals, build, install_shift, publish
from plugin_folders import importable, run_python

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import (
    LockError,
    MissingFileError,
    SourceError,
    SourceNotFoundError,
    TrustRequiredError,
    UnknownTypeError,
)

# older paths of it, which files that came with a model name, work and are deprecated there
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Importing from:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:no installed plugin provides mixed_chain.Head"),
]
TESTS = Path(__file__).parent
_numbers = itertools.count()


@dataclass(frozen=True)
class Saved:
    """A mixed chain that was saved, locked and moved.

    Attributes:
        folder: Where it is.
        site: Where its plugin is installed.
        lock: Its lock.
        commit: Of the other repository.
        owner: Of that, and of the model that its modules are from.
        scores: What it scored before.
    """

    folder: Path
    site: Path
    lock: Path
    commit: str
    owner: str
    scores: list[float]

    def entry(self, name: str) -> dict[str, str]:
        """Return what modules.json says of the module whose type ends in ``name``."""
        entries = json.loads((self.folder / "modules.json").read_text())
        return next(entry for entry in entries if entry["type"].endswith(name))

    def load(self, **options: object) -> CrossEncoder:
        """Return the chain, given all that it needs."""
        given = {"trust_remote_code": True, "module_classes": CLASSES, "device": "cpu", **options}
        return CrossEncoder(self.folder, **given)


five = pytest.param(True, marks=pytest.mark.peer, id="five origins")
four = pytest.param(False, id="four origins")


@pytest.fixture
def saved(request: pytest.FixtureRequest, hub: HubServer, tmp_path: Path) -> Iterator[Saved]:
    """A chain of all five origins if a test asks for it, else of the four that need no sentence-transformers."""
    with_library = getattr(request, "param", False)
    owner = f"mixed-{next(_numbers)}"
    commit = publish(hub, owner, tmp_path / "published")
    site = tmp_path / "site"
    install_shift(site)
    with importable(site):
        model = build(owner, with_library=with_library)
        scores = model.predict(PAIRS).tolist()
        model.save_pretrained(tmp_path / "saved")
        pairchain.lock(tmp_path / "saved", tmp_path / "pairchain.lock.json")
        (tmp_path / "elsewhere").mkdir()
        folder = Path(shutil.move(tmp_path / "saved", tmp_path / "elsewhere" / "moved"))
        yield Saved(folder, site, tmp_path / "pairchain.lock.json", commit, owner, scores)


@pytest.mark.parametrize("saved", [five, four], indirect=True)
def test_a_fresh_process_offline_gives_equal_scores(saved: Saved) -> None:
    known = approvals(saved.folder, module_classes=CLASSES)
    code = f"""
    import json
    import mixed_chain, pairchain

    options = {{"lock": {str(saved.lock)!r}, "trust_remote_code": {known}, "module_classes": mixed_chain.CLASSES}}
    model = pairchain.CrossEncoder({str(saved.folder)!r}, device="cpu", **options)
    scores = model.predict(mixed_chain.PAIRS).tolist()
    print(json.dumps([scores, [str(origin) for origin in model.origins.values()]]))
    """

    scores, origins = json.loads(run_python(code, saved.site, TESTS / "support", HF_HUB_OFFLINE="1"))

    assert scores == pytest.approx(saved.scores, abs=1e-6)
    library = ["defined in sentence_transformers.sentence_transformer.modules.cnn"] if len(origins) == 6 else []
    assert origins == [
        f"pairchain-transformer {pairchain.__version__}",
        "acme-shift 1.0",
        *library,
        "defined in tail_pooling.py beside the model",
        f"defined in blocks.py of {saved.owner}/blocks at {saved.commit}",
        "defined in mixed_chain",
    ]
    # each of the two that bring code is allowed on its own, and nothing else is
    assert len(known) == 2
    assert f"{saved.owner}/blocks@{saved.commit}" in known


@pytest.mark.parametrize("saved", [five, four], indirect=True)
def test_what_is_saved_names_or_brings_each_origin(saved: Saved) -> None:
    files = {path.name for path in saved.folder.glob("*.py")}
    lock = json.loads(saved.lock.read_text())

    assert files == {"tail_pooling.py", "positions.py"}
    assert saved.entry("Shift")["distribution"] == "acme-shift"
    assert saved.entry("Shift")["version"] == "1.0"
    assert saved.entry("TailPooling")["type"] == "tail_pooling.TailPooling"
    assert saved.entry("Scale")["type"] == f"{saved.owner}/blocks--blocks.Scale"
    assert saved.entry("Scale")["code_revision"] == saved.commit
    assert saved.entry("Head")["type"] == "ranking.Head"
    assert lock["code"][f"{saved.owner}/blocks"]["commit"] == saved.commit
    assert list(lock["code"][f"{saved.owner}/blocks"]["files"]) == ["blocks.py"]
    assert lock["plugins"]["acme-shift"] == "1.0"
    assert {"tail_pooling.py", "positions.py", "modules.json", "model.safetensors"} <= set(lock["files"])


def test_without_the_plugin_it_says_which_distribution_to_install(saved: Saved) -> None:
    code = f"""
    import mixed_chain, pairchain
    options = {{"trust_remote_code": True, "module_classes": mixed_chain.CLASSES, "device": "cpu"}}
    try:
        pairchain.CrossEncoder({str(saved.folder)!r}, **options)
    except pairchain.errors.UnknownTypeError as error:
        print(error)
    """

    printed = run_python(code, TESTS / "support")

    assert "no installed plugin provides the type 'acme_shift.Shift'" in printed
    assert "pip install acme-shift" in printed


def test_without_the_file_it_says_which_one_is_missing(saved: Saved) -> None:
    (saved.folder / "tail_pooling.py").unlink()

    with pytest.raises(UnknownTypeError, match=r"'tail_pooling\.TailPooling'.*the model has no file tail_pooling\.py"):
        saved.load()
    with pytest.raises(LockError) as caught:
        saved.load(lock=saved.lock)
    assert ["tail_pooling.py" in mismatch for mismatch in caught.value.mismatches] == [True]


def test_without_a_file_that_the_file_imports_it_says_who_imports_it(saved: Saved) -> None:
    (saved.folder / "positions.py").unlink()

    with pytest.raises(ModuleNotFoundError, match="positions") as caught:
        saved.load()

    assert any("while importing" in note and "tail_pooling.py" in note for note in caught.value.__notes__)


def test_without_the_other_repository_it_says_whose_code_is_there(saved: Saved, hub: HubServer) -> None:
    file = saved.folder / "modules.json"
    file.write_text(file.read_text().replace(f"{saved.owner}/blocks--", f"{saved.owner}/gone--"))

    with pytest.raises(SourceNotFoundError, match=f"{saved.owner}/gone") as caught:
        saved.load()

    assert f"while looking for the code of the type '{saved.owner}/gone--blocks.Scale'" in caught.value.__notes__


def test_code_that_was_never_downloaded_is_told_as_that_offline(saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=rf"blocks\.py of {saved.owner}/blocks, which was not down"):
        saved.load(local_files_only=True, cache_folder=tmp_path / "empty")

    entries = saved.folder / "modules.json"
    entries.write_text(entries.read_text().replace(saved.commit, "main"))
    with pytest.raises(SourceError, match=f"{saved.owner}/blocks") as caught:
        saved.load(local_files_only=True, cache_folder=tmp_path / "empty")
    assert f"while looking for the code of the type '{saved.owner}/blocks--blocks.Scale'" in caught.value.__notes__
    assert caught.value.next_step


def test_without_the_callers_class_it_says_how_to_pass_it(saved: Saved) -> None:
    with pytest.raises(UnknownTypeError, match=r"'ranking\.Head'") as caught:
        saved.load(module_classes={})

    assert "pass the class in module_classes={type: cls}" in caught.value.next_step


@pytest.mark.parametrize("saved", [five], indirect=True)
def test_without_the_library_it_says_to_install_it(saved: Saved, tmp_path: Path) -> None:
    code = f"""
    import mixed_chain, pairchain
    options = {{"trust_remote_code": True, "module_classes": mixed_chain.CLASSES, "device": "cpu"}}
    try:
        pairchain.CrossEncoder({str(saved.folder)!r}, **options)
    except pairchain.errors.UnknownTypeError as error:
        print(error)
    """

    printed = run_python(code, without_library(tmp_path / "without"), saved.site, TESTS / "support")

    assert "the type 'sentence_transformers.sentence_transformer.modules.cnn.CNN'" in printed
    assert "which is not installed" in printed
    assert "pip install sentence-transformers" in printed


def test_without_trust_nothing_of_it_runs_and_all_of_it_is_named(saved: Saved) -> None:
    with pytest.raises(TrustRequiredError) as caught:
        saved.load(trust_remote_code=False)

    for part in ("tail_pooling.py", "positions.py", f"{saved.owner}/blocks/blob/{saved.commit}/blocks.py"):
        assert part in str(caught.value)
    assert f"{saved.owner}/blocks@{saved.commit}" in caught.value.approvals
    with pytest.raises(TrustRequiredError) as again:
        saved.load(trust_remote_code=caught.value.approvals[:1])
    assert again.value.approvals == caught.value.approvals[1:]
