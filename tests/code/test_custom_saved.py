"""What no plugin provides is saved with the model: the file of a class, what it imports beside it, and no more."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from custom_models import DIFFERENCES, LENGTHS, PAIRS, code_in, head, load, save_by_hand, scores, types_of, write
from hub_server import HubServer
from plugin_folders import importable, install
from torch import nn

import pairchain
from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import FormatError
from pairchain.modules import LayerNorm

pytestmark = pytest.mark.slow

TWICE = "def twice(value):\n    return 2 * value\n"
DOUBLED = [2 * score for score in DIFFERENCES]


def saved(
    tmp_path: Path, files: Mapping[str, str], module: str = "heads", *, place: str = "project", **options: Any
) -> Path:
    """Return where a model was saved whose head is the class ``Head`` of ``module``, which lies among ``files``.

    The folder is off the path afterwards, and what was imported from it is forgotten.
    """
    site, model = tmp_path / place, tmp_path / "model"
    with importable(write(site, {"lengths.py": LENGTHS, **files})):
        modules = [importlib.import_module("lengths").Lengths(), importlib.import_module(module).Head()]
        CrossEncoder(modules=modules, activation_fn=nn.Identity()).save_pretrained(model, **options)
    return model


# -- which files --


def test_a_file_is_copied_with_what_it_imports_beside_it_whatever_way_it_says_so(tmp_path: Path) -> None:
    model = saved(
        tmp_path,
        {
            "heads.py": head("doubling.twice(deep.ONE)", before="import doubling\nfrom inner import deep"),
            "doubling.py": "import math, torch\nfrom numbers_of_mine import twice",
            "numbers_of_mine.py": f"def unused():\n    import lazily\n{TWICE}",
            "lazily.py": "",
            "inner/__init__.py": "",
            "inner/deep.py": "from .deeper import ONE",
            "inner/deeper.py": "from . import one\nONE = one.ONE",
            "inner/one.py": "ONE = 1",
            "inner/not_imported.py": "",
            "not_imported.py": "",
        },
    )
    assert types_of(model) == ["lengths.Lengths", "heads.Head"]
    assert code_in(model) == [
        "doubling.py",
        "heads.py",
        "inner/__init__.py",
        "inner/deep.py",
        "inner/deeper.py",
        "inner/one.py",
        "lazily.py",
        "lengths.py",
        "numbers_of_mine.py",
    ]
    assert scores(model) == DOUBLED


@pytest.mark.parametrize("imports", ["from .doubling import twice", "from . import doubling\ntwice = doubling.twice"])
def test_a_file_of_a_package_is_copied_alone_if_that_is_enough(tmp_path: Path, imports: str) -> None:
    files = {"package/heads.py": head("twice(1)", before=imports), "package/doubling.py": TWICE}
    model = saved(tmp_path, {**files, "package/__init__.py": "raise_if_run = True"}, "package.heads")
    # one folder deep, as sentence-transformers takes it too
    assert types_of(model)[1] == "heads.Head"
    assert code_in(model) == ["doubling.py", "heads.py", "lengths.py"]
    assert scores(model) == DOUBLED


@pytest.mark.parametrize(
    "imports",
    [
        "from package.doubling import twice",
        "from ..doubling import twice",
        "import package.doubling as d\ntwice = d.twice",
        "from .. import twice",
    ],
)
def test_a_file_that_needs_the_package_around_it_is_copied_with_that(tmp_path: Path, imports: str) -> None:
    files = {
        "package/__init__.py": "from package.doubling import twice",
        "package/doubling.py": TWICE,
        "package/inner/__init__.py": "",
        "package/inner/heads.py": head("twice(1)", before=imports),
        "package/unrelated.py": "",
    }
    model = saved(tmp_path, files, "package.inner.heads")
    assert types_of(model)[1] == "package.inner.heads.Head"
    assert set(code_in(model)) - {"lengths.py"} == set(files) - {"package/unrelated.py"}
    assert scores(model) == DOUBLED


def test_a_class_of_a_package_itself_is_copied_with_the_package(tmp_path: Path) -> None:
    files = {"heads/__init__.py": head("twice(1)", before="from .doubling import twice"), "heads/doubling.py": TWICE}
    model = saved(tmp_path, files)
    assert types_of(model)[1] == "heads.Head"
    assert code_in(model) == ["heads/__init__.py", "heads/doubling.py", "lengths.py"]
    assert scores(model) == DOUBLED


def test_what_is_installed_is_not_copied_though_it_lies_beside_the_file(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    install(site, "doubling", files={"doubling.py": TWICE})
    model = saved(tmp_path, {"heads.py": head("twice(1)", before="from doubling import twice")}, place=site.name)
    assert code_in(model) == ["heads.py", "lengths.py"]
    with pytest.raises(ModuleNotFoundError, match="No module named 'doubling'"):
        load(model)
    with importable(site):
        assert scores(model) == DOUBLED


def test_a_class_of_an_installed_package_that_is_no_plugin_is_copied_with_its_package(tmp_path: Path) -> None:
    files = {"acme/heads.py": head("twice(1)", before="from acme.doubling import twice"), "acme/doubling.py": TWICE}
    install(tmp_path / "site-packages", "acme", files={**files, "acme/__init__.py": ""})
    model = saved(tmp_path, {}, "acme.heads", place="site-packages")
    assert types_of(model)[1] == "acme.heads.Head"
    assert scores(model) == DOUBLED


def test_an_import_that_nobody_copies_is_warned_of(tmp_path: Path) -> None:
    with importable(write(tmp_path / "library", {"doubling.py": TWICE})) as library:
        text = (
            "heads.py is saved with the model, but not what it imports from .*doubling.py, which is neither installed"
        )
        with pytest.warns(PairchainWarning, match=text):
            model = saved(tmp_path, {"heads.py": head("twice(1)", before="from doubling import twice")})
        assert library.is_dir()
        assert scores(model) == DOUBLED


def test_a_class_that_no_file_offers_is_warned_of_with_what_to_pass(tmp_path: Path) -> None:
    code = head("3", name="Local").replace("from pairchain import Module", "").replace("\n", "\n    ")
    files = {"heads.py": f"from pairchain import Module\ndef make():\n    {code}\n    return Local\nHead = make()\n"}
    with pytest.warns(
        PairchainWarning, match=r"its code is not saved.*module_classes=\{'heads\.make\.<locals>\.Local'"
    ):
        model = saved(tmp_path, files)
    assert code_in(model) == ["lengths.py"]
    with importable(tmp_path / "project"):
        made = importlib.import_module("heads").Head
        assert scores(model, module_classes={types_of(model)[1]: made}) == [3 * score for score in DIFFERENCES]


def named(module_type: str) -> dict[str, str]:
    """Return the file of a head with a ``module_type`` of its own."""
    return {"heads.py": f"{head('2')}\n    module_type = {module_type!r}\n"}


def test_a_class_with_a_type_that_nobody_provides_is_warned_of_with_what_to_pass(tmp_path: Path) -> None:
    told = r"its module_type is 'acme\.Head', which no installed plugin.*module_classes=\{'acme\.Head': Head\}"
    with pytest.warns(PairchainWarning, match=told):
        model = saved(tmp_path, named("acme.Head"))
    assert (types_of(model)[1], code_in(model)) == ("acme.Head", ["lengths.py"])
    with importable(tmp_path / "project"):
        given = importlib.import_module("heads").Head
        assert scores(model, module_classes={"acme.Head": given}) == DOUBLED


def test_a_type_that_somebody_provides_or_that_says_where_its_code_is_is_taken_at_its_word(tmp_path: Path) -> None:
    for number, name in enumerate((LayerNorm.module_type, "owner/name--heads.Head")):
        model = saved(tmp_path / str(number), named(str(name)))
        assert (types_of(model)[1], code_in(model)) == (name, ["lengths.py"])


@pytest.mark.parametrize("module_type", ["../heads.Head", "owner/name--Head", "owner/name/more--heads.Head"])
def test_a_type_that_could_never_be_loaded_is_not_saved(module_type: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"the type '{module_type}'"):
        saved(tmp_path, named(module_type))
    assert not (tmp_path / "model").exists()


# -- saved again --


def test_a_loaded_model_is_saved_with_its_code_again(tmp_path: Path) -> None:
    files = {"heads.py": head("twice(1)", before="from .doubling import twice"), "doubling.py": TWICE}
    model = save_by_hand(tmp_path / "model", ["lengths.Lengths", "heads.Head"], files)
    for _ in range(2):
        load(model).save_pretrained(tmp_path / "again")
        assert types_of(tmp_path / "again") == types_of(model)
        assert {path: (tmp_path / "again" / path).read_text() for path in files} == files
        assert scores(tmp_path / "again") == DOUBLED
        model = tmp_path / "again"


def test_the_code_that_ran_is_saved_though_its_file_changed_since(tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "heads.Head"], {"heads.py": head("2")})
    model = load(folder)
    write(folder, {"heads.py": head("7")})
    model.save_pretrained(tmp_path / "again")
    assert model.predict(PAIRS).tolist() == scores(tmp_path / "again") == DOUBLED


def test_files_of_one_name_from_two_models_are_saved_apart(tmp_path: Path) -> None:
    """The heads add up; each takes its factor from a file named alike in both models."""
    adding = head("factor()", before="from .factors import factor").replace(
        'features["scores"] =', 'features["scores"] = features.get("scores", 0) +'
    )
    folders = [
        save_by_hand(
            tmp_path / str(factor),
            ["lengths.Lengths", "heads.Head", "heads.Head"],
            {"heads.py": adding, "factors.py": f"def factor():\n    return {factor}"},
        )
        for factor in (1, 10)
    ]
    (lengths, one, _), (_, ten, other_ten) = (load(folder) for folder in folders)
    assert type(one).__name__ == type(ten).__name__
    assert type(one) is not type(ten)
    chain = CrossEncoder(modules=[lengths, one, ten, other_ten], activation_fn=nn.Identity())
    chain.save_pretrained(tmp_path / "both")
    # both heads of the second model are of one class, so its files are there once
    assert types_of(tmp_path / "both") == ["lengths.Lengths", "heads.Head", "code_2.heads.Head", "code_2.heads.Head"]
    assert code_in(tmp_path / "both") == [
        "code_2/factors.py",
        "code_2/heads.py",
        "factors.py",
        "heads.py",
        "lengths.py",
    ]
    again = load(tmp_path / "both")
    assert again.predict(PAIRS).tolist() == [21 * score for score in DIFFERENCES]
    again.save_pretrained(tmp_path / "again")
    assert scores(tmp_path / "again") == [21 * score for score in DIFFERENCES]


def test_a_class_passed_in_or_registered_is_saved_with_its_file_too(tmp_path: Path) -> None:
    model = save_by_hand(tmp_path / "hand", ["lengths.Lengths", "anything.Else"], {})
    with importable(write(tmp_path / "project", {"heads.py": head("2")})):
        given = importlib.import_module("heads").Head
        load(model, module_classes={"anything.Else": given}).save_pretrained(tmp_path / "model")
    assert types_of(tmp_path / "model")[1] == "heads.Head"
    assert scores(tmp_path / "model") == DOUBLED


# -- loaded --


def test_a_file_of_whoever_loads_the_model_is_not_taken_for_one_of_the_model(tmp_path: Path) -> None:
    files = {"heads.py": head("twice(1)", before="from doubling import twice"), "doubling.py": TWICE}
    model = save_by_hand(tmp_path / "model", ["lengths.Lengths", "heads.Head"], files)
    with importable(write(tmp_path / "user", {"doubling.py": "def twice(value):\n    return 0\n"})):
        importlib.import_module("doubling")
        assert scores(model) == DOUBLED
    assert "doubling" not in sys.modules


def test_a_package_inside_the_model_may_name_itself(tmp_path: Path) -> None:
    files = {
        "package/heads.py": head("twice(1)", before="import package.doubling\nfrom package.doubling import twice"),
        "package/doubling.py": TWICE,
    }
    model = save_by_hand(tmp_path, ["lengths.Lengths", "package.heads.Head"], files)
    assert [problem.about for problem in pairchain.inspect(model).problems] == ["trust"]
    assert scores(model) == DOUBLED


@pytest.mark.parametrize("back", ["from . import heads", "import heads", "from .heads import Head"])
def test_files_that_import_each_other_load_as_they_do_for_a_script(tmp_path: Path, back: str) -> None:
    other = (
        f"def twice(value):\n    {back}\n    assert heads.Head if 'heads' in locals() else Head\n    return 2 * value\n"
    )
    files = {"heads.py": head("doubling.twice(1)", before="from . import doubling"), "doubling.py": f"{other}"}
    if back.startswith("from . "):
        files["doubling.py"] = f"{back}\n{TWICE}"
    assert scores(save_by_hand(tmp_path, ["lengths.Lengths", "heads.Head"], files)) == DOUBLED


def test_a_module_of_no_files_that_loads_from_a_path_needs_no_folder_which_git_would_not_keep(
    hub: HubServer, tmp_path: Path
) -> None:
    code = f"{head('2')}\n    @classmethod\n    def load(cls, path):\n        return cls()\n"
    model = save_by_hand(tmp_path, ["lengths.Lengths", "heads.Head"], {"heads.py": code})
    assert not (model / "1_Part").exists()
    hub.add_repo("custom-tests/no-files")
    hub.commit("custom-tests/no-files", model)
    for name in (model, "custom-tests/no-files"):
        assert scores(name) == DOUBLED
    hub.requests.clear()
    assert scores("custom-tests/no-files", local_files_only=True) == DOUBLED
    assert hub.requests == []


def test_a_model_that_was_saved_without_its_code_says_who_would_provide_it(tmp_path: Path) -> None:
    model = save_by_hand(tmp_path / "model", ["lengths.Lengths", "heads.Head"], {})
    with pytest.raises(LookupError, match=r"no installed plugin provides the type 'heads\.Head'") as unknown:
        load(model)
    assert "the model has no file heads.py" in str(unknown.value)
    assert "module_classes" in str(unknown.value)
