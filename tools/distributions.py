"""Keeps the distributions of this repository alike: one version, the same ranges between them, and the same metadata.

``python tools/distributions.py`` writes what every distribution shares: license, authors, keywords, classifiers and
addresses. ``python tools/distributions.py 0.3.0`` also sets the version of each, and the ranges that name it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# A reserved name that cannot be registered. The first release replaces it: see docs/releasing.md.
ADDRESS = "https://pairchain.example"

SHARED = """\
license = "Apache-2.0"
license-files = ["LICENSE"]
authors = [{ name = "The authors of pairchain" }]
keywords = ["cross-encoder", "information retrieval", "pairchain", "reranking", "search"]
classifiers = [
    "Development Status :: 4 - Beta",
    "Intended Audience :: Developers",
    "Intended Audience :: Science/Research",
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Typing :: Typed",
]
"""
URLS = f"""\
[project.urls]
Documentation = "{ADDRESS}/docs"
Source = "{ADDRESS}/source"
Issues = "{ADDRESS}/issues"
Changelog = "{ADDRESS}/docs/changelog.html"

"""
_SHARED_KEYS = re.compile(
    r"^(?:license|license-files|authors|keywords|classifiers) = (?:\[\n.*?^\]|[^\n]*)\n", re.M | re.S
)
# the version that the site shows
SHOWN = re.compile(r"(\b(?:pairchain|Version) )\d+\.\d+\.\d+")
PAGES_THAT_SHOW_IT = ("mkdocs.yml", "docs/index.md")
_URLS = re.compile(r"^\[project\.urls\]\n.*?(?=^\[|^#)", re.M | re.S)
# a range on one of our distributions, such as pairchain-core[testing]>=0.2,<0.3
_RANGE = re.compile(r"(\bpairchain(?:-[a-z-]+)?(?:\[[a-z,]+\])?)>=\d+\.\d+,<\d+\.\d+")


def folders(root: Path = ROOT) -> list[Path]:
    """Return the folders of all distributions in a copy of this repository, that of ``pairchain`` itself first."""
    return [root, root / "core", *sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))]


def examples() -> list[Path]:
    """Return the folders of the example plugins, which have versions of their own."""
    return sorted(path.parent for path in ROOT.glob("docs/examples/*/pyproject.toml"))


def project(folder: Path) -> dict[str, Any]:
    """Return the whole ``pyproject.toml`` of a folder."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def version_file(folder: Path) -> Path:
    """Return the file that has the version of the distribution in ``folder``."""
    path = project(folder).get("tool", {}).get("hatch", {}).get("version", {}).get("path", "pyproject.toml")
    return folder / str(path)


def with_shared_metadata(text: str) -> str:
    """Return a ``pyproject.toml`` with the metadata that every distribution has."""
    text = _URLS.sub("", _SHARED_KEYS.sub("", text))
    text = re.sub(r"^(requires-python = [^\n]*\n)", lambda found: SHARED + found[1], text, count=1, flags=re.M)
    start, _, rest = text.partition("\n[project]\n")
    # the next table, with a comment that belongs to it
    end = re.search(r"^(?:#[^\n]*\n)*\[", rest, re.M)
    at = len(rest) if end is None else end.start()
    return f"{start}\n[project]\n{rest[:at].rstrip()}\n\n{URLS}{rest[at:]}".rstrip() + "\n"


def with_ranges(text: str, version: str) -> str:
    """Return a text in which every range on our distributions allows the minor version of ``version``."""
    major, minor = version.split(".")[:2]
    return _RANGE.sub(rf"\1>={major}.{minor},<{major}.{int(minor) + 1}", text)


def files_with_ranges() -> Iterator[Path]:
    """Yield the files that name ranges on our distributions: projects, templates, and pages about plugins."""
    templates = ROOT / "plugins/cli/src/pairchain_cli/scaffold/templates"
    for folder in (*folders(), *examples(), *sorted(path.parent for path in templates.glob("*/pyproject.toml"))):
        yield folder / "pyproject.toml"
    yield from sorted(ROOT.glob("docs/**/*.md"))
    yield ROOT / "tests/support/mixed_chain.py"


def main(version: str | None = None) -> None:
    """Write the shared metadata and, with a version, the versions and ranges."""
    for folder in (*folders(), *examples()):
        path = folder / "pyproject.toml"
        _write(path, with_shared_metadata(path.read_text(encoding="utf-8")))
        _write(folder / "LICENSE", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    _write(ROOT / "mkdocs.yml", re.sub(r"^(repo_url: ).*", rf"\g<1>{ADDRESS}/source", site, flags=re.M))
    if version is None:
        return
    for folder in folders():
        path = version_file(folder)
        set_to = rf'\g<1>"{version}"'
        text = path.read_text(encoding="utf-8")
        _write(path, re.sub(r'^((?:__version__|version) = )"[^"]*"', set_to, text, count=1, flags=re.M))
    for name in PAGES_THAT_SHOW_IT:
        _write(ROOT / name, SHOWN.sub(rf"\g<1>{version}", (ROOT / name).read_text(encoding="utf-8")))
    for path in files_with_ranges():
        _write(path, with_ranges(path.read_text(encoding="utf-8"), version))


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(*sys.argv[1:])
