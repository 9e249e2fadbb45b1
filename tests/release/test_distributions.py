"""Every distribution has the same metadata, this version and ranges on it; building it twice gives the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from building import build, build_all, sums, unpacked
from distributions import (
    ADDRESS,
    PAGES_THAT_SHOW_IT,
    ROOT,
    SHOWN,
    examples,
    files_with_ranges,
    folders,
    project,
    version_file,
    with_ranges,
    with_shared_metadata,
)

from pairchain import __version__

OURS = folders()
ALL = [*OURS, *examples()]


def name(folder: Path) -> str:
    return str(project(folder)["project"]["name"])


@pytest.mark.parametrize("folder", ALL, ids=name)
def test_metadata_is_complete_and_shared(folder: Path) -> None:
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    assert with_shared_metadata(text) == text, "run python tools/distributions.py"
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    about = project(folder)["project"]
    assert about["description"].endswith(".")
    assert (folder / about["readme"]).is_file()
    assert about["requires-python"] == ">=3.11"


@pytest.mark.parametrize("folder", OURS, ids=name)
def test_all_have_one_version(folder: Path) -> None:
    text = version_file(folder).read_text(encoding="utf-8")
    assert re.findall(r'^(?:__version__|version) = "([^"]*)"', text, re.M) == [__version__]


@pytest.mark.parametrize("path", sorted({*files_with_ranges()}), ids=lambda path: str(path.relative_to(ROOT)))
def test_ranges_allow_this_version(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert with_ranges(text, __version__) == text, f"run python tools/distributions.py {__version__}"


def test_ranges_of_all_shapes_follow_a_version() -> None:
    text = '"pairchain>=0.1,<0.2", "pairchain-core[testing]>=0.1,<0.2", "pairchain-a-b>=1.9,<1.10", "other>=0.1,<0.2"'
    after = '"pairchain>=1.4,<1.5", "pairchain-core[testing]>=1.4,<1.5", "pairchain-a-b>=1.4,<1.5", "other>=0.1,<0.2"'
    assert with_ranges(text, "1.4.2") == after


def test_a_package_as_generated_gets_the_metadata() -> None:
    template = ROOT / "plugins/cli/src/pairchain_cli/scaffold/templates/scorer/pyproject.toml"
    text = with_shared_metadata(template.read_text(encoding="utf-8"))
    assert with_shared_metadata(text) == text
    assert text.count("[project.urls]") == text.count("\nlicense = ") == text.count("\nclassifiers = [") == 1


@pytest.mark.parametrize("page", PAGES_THAT_SHOW_IT)
def test_the_site_shows_this_version(page: str) -> None:
    found = [match[0].split(" ")[1] for match in SHOWN.finditer((ROOT / page).read_text(encoding="utf-8"))]
    assert found == [__version__]


def test_the_site_names_the_address_of_the_distributions() -> None:
    assert f"\nrepo_url: {ADDRESS}/source\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.M)


def copied(into: Path, *, umask: int, seconds: int) -> Path:
    """Copy what the distributions contain, as another machine would check it out."""
    before = os.umask(umask)
    try:
        into.mkdir(parents=True)
        for path in ("README.md", "LICENSE", "pyproject.toml", ".gitignore"):
            (into / path).write_bytes((ROOT / path).read_bytes())
        for folder in ("core", "plugins"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / folder, into / folder, copy_function=_write, ignore=ignored)
        for path in into.rglob("*"):
            os.utime(path, (seconds, seconds))
    finally:
        os.umask(before)
    return into


def _write(source: str, target: str) -> None:
    Path(target).write_bytes(Path(source).read_bytes())


@pytest.fixture
def at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796000000")


@pytest.mark.slow
@pytest.mark.usefixtures("at_one_time")
def test_another_folder_umask_and_time_give_the_same_bytes(tmp_path: Path) -> None:
    first = build_all(copied(tmp_path / "a", umask=0o022, seconds=10**9), tmp_path / "first")
    second = build_all(copied(tmp_path / "far/away", umask=0o077, seconds=2 * 10**9), tmp_path / "second")
    assert sums(first) == sums(second)
    assert len(first) == 2 * len(OURS)
    for path in first:
        if path.suffix == ".whl":
            check_wheel(path)
            continue
        [wheel] = build(unpacked(path, tmp_path / "unpacked"), tmp_path / "third", with_sdist=False)
        assert wheel.read_bytes() == (tmp_path / "first" / wheel.name).read_bytes()


def check_wheel(path: Path) -> None:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        [metadata] = [one for one in names if one.endswith(".dist-info/METADATA")]
        text = wheel.read(metadata).decode()
    assert any(one.endswith(".dist-info/licenses/LICENSE") for one in names), path.name
    assert path.name.startswith("pairchain-") or any(one.endswith("/py.typed") for one in names), path.name
    for line in ("License-Expression: Apache-2.0", "Author:", "Keywords:", "Project-URL: Source,", "Requires-Python:"):
        assert f"\n{line}" in text, (path.name, line)
