"""The page on changing a published plugin: its second version reads what its first version saved."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from pages import DOCS
from plugin_folders import HEAD, importable, install, run_python

from pairchain import registry
from pairchain.persistence.saved_type import type_of

PAGE = (DOCS / "guides/changing-a-plugin.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
PROJECTS = [tomllib.loads(text)["project"] for text in re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)]
SCORE = """
model = CrossEncoder({model!r}, device="cpu")
score = float(model.predict(("how many people live in berlin ?", "berlin had a population of 3520031 .")))
print(type(model[2]).__name__, score)
"""


@pytest.fixture
def versions(tmp_path: Path) -> dict[str, Path]:
    """The folders in which the versions of the page's plugin are installed."""
    files = ["".join(CODE[:1]), "".join(CODE[:2])]
    for project, code in zip(PROJECTS, files, strict=True):
        version = str(project["version"])
        points = project["entry-points"]["pairchain.modules"]
        install(
            tmp_path / version,
            project["name"],
            version,
            modules=points,
            requires=project["dependencies"],
            files={"acme_heads.py": code},
        )
    return {str(project["version"]): tmp_path / str(project["version"]) for project in PROJECTS}


def save_with_first(site: Path, pooled: Path, folder: Path) -> None:
    """Save a model with the head of the first version, which is installed in ``site``."""
    run_python(
        f"""
        from pairchain import CrossEncoder
        from pairchain.modules import Head
        transformer, pooling, _ = CrossEncoder({str(pooled)!r}, device="cpu")
        head = Head(pooling.get_embedding_dimension(), temp=2.0)
        CrossEncoder(modules=[transformer, pooling, head], device="cpu").save_pretrained({str(folder)!r})
        """,
        site,
    )


def scored(model: Path, site: Path, then: str = "") -> list[str]:
    """Load ``model`` in a process with the plugin in ``site``, and return the name of its head and its score."""
    return run_python("from pairchain import CrossEncoder\n" + SCORE.format(model=str(model)) + then, site).split()


@pytest.mark.slow
def test_the_second_version_reads_what_the_first_saved(versions: dict[str, Path], pooled: Path, tmp_path: Path) -> None:
    old, again = tmp_path / "old", tmp_path / "again"
    save_with_first(versions["1.0"], pooled, old)
    name, score = scored(old, versions["1.0"])
    assert name == "Head"
    assert scored(old, versions["2.0"], f"model.save_pretrained({str(again)!r})") == ["WeightedSum", score]

    saved = json.loads((again / "modules.json").read_text())[2]
    assert (saved["type"], saved["version"], saved["reads_saved_by"]) == ("acme_heads.WeightedSum", "2.0", "2.0")
    config = json.loads((again / saved["path"] / "config.json").read_text())
    assert (config["temperature"], config["scale"]) == (2.0, 1.0)
    assert "temp" not in config
    assert scored(again, versions["2.0"]) == ["WeightedSum", score]

    (message,) = re.findall(r"^```text\n(.*?)\n```", PAGE, re.M | re.S)
    refused = f"""
    from pairchain import CrossEncoder
    from pairchain.errors import UnknownTypeError
    try:
        CrossEncoder({str(again)!r}, device="cpu")
    except UnknownTypeError as error:
        print(error)
    """
    assert run_python(refused, versions["1.0"]).startswith(message)


@pytest.mark.slow
def test_another_package_may_take_over_the_types(versions: dict[str, Path], pooled: Path, tmp_path: Path) -> None:
    save_with_first(versions["1.0"], pooled, tmp_path / "old")
    project = PROJECTS[1]
    install(
        tmp_path / "renamed",
        "acme-scorers",
        "1.0",
        modules=project["entry-points"]["pairchain.modules"],
        files={"acme_heads.py": "".join(CODE[:2])},
    )
    name, score = scored(tmp_path / "old", versions["1.0"])
    assert (name, scored(tmp_path / "old", tmp_path / "renamed")) == ("Head", ["WeightedSum", score])


def test_a_class_is_saved_under_its_name_of_today_although_an_earlier_one_is_longer(tmp_path: Path) -> None:
    points = {
        "Head": "acme_new:Head",
        "acme_new.Head": "acme_new:Head",
        "acme_new.legacy.WeightedHead": "acme_new:Head",
    }
    with importable(tmp_path / "site") as site:
        install(site, "acme-new", modules=points, files={"acme_new.py": HEAD})
        registry.refresh()
        assert type_of(registry.load("Head")) == "acme_new.Head"
