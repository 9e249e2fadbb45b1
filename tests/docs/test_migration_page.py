"""The page for those who come from sentence-transformers says of every argument what is true of the one installed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any

import pytest
from letters import letters_model
from pages import DOCS, names, rows, sections

import pairchain
from pairchain import modules
from pairchain.errors import UnknownAttributeError

theirs = pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.peer

PAGE = sections(DOCS / "from-sentence-transformers.md")
METHODS = [
    "predict",
    "rank",
    "save_pretrained",
    "push_to_hub",
    "start_multi_process_pool",
    "stop_multi_process_pool",
    "preprocess",
]
MODULES = ["Transformer", "LogitScore", "Dense", "Pooling", "Normalize", "LayerNorm", "Router"]
GONE = PAGE["Missing methods"]
THERE = names(PAGE["Methods and properties in both"])


def arguments(callee: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of ``callee`` but self, by the names under which the page has them."""
    found = [value for name, value in inspect.signature(callee).parameters.items() if name != "self"]
    return {f"**{value.name}" if value.kind is value.VAR_KEYWORD else value.name: value for value in found}


def tables() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Return, for each heading, what it is about in sentence-transformers and here."""
    from sentence_transformers.sentence_transformer import modules as peer_modules

    peer_modules_of = {name: getattr(peer_modules, name, None) for name in MODULES}
    peer_modules_of["LogitScore"] = theirs.cross_encoder.modules.LogitScore
    return {
        "CrossEncoder(…)": (theirs.CrossEncoder.__init__, pairchain.CrossEncoder.__init__),
        **{
            f"{name}(…)": (getattr(theirs.CrossEncoder, name), getattr(pairchain.CrossEncoder, name))
            for name in METHODS
        },
        **{f"{name}(…)": (peer_modules_of[name].__init__, getattr(modules, name).__init__) for name in MODULES},
    }


def surface() -> dict[str, Any]:
    """Return every public method and property that sentence-transformers' CrossEncoder defines."""
    kinds = (FunctionType, property, classmethod, staticmethod, cached_property)
    homes = [cls for cls in theirs.CrossEncoder.__mro__ if cls.__module__.startswith("sentence_transformers")]
    return {
        name: value
        for cls in reversed(homes)
        for name, value in vars(cls).items()
        if isinstance(value, kinds) and not name.startswith("_")
    }


@pytest.mark.parametrize("name", ["from_pretrained", *(name for row in rows(GONE) for name in names(row[0]))])
def test_every_missing_method_answers_with_what_to_use(name: str) -> None:
    model = letters_model()
    name = name.partition("(")[0]
    with pytest.raises(UnknownAttributeError, match=rf"^CrossEncoder has no {name}\.") as caught:
        getattr(model, name)
    assert caught.value.next_step
    assert not hasattr(pairchain.CrossEncoder, name)


@pytest.mark.parametrize("heading", [f"{name}(…)" for name in ("CrossEncoder", *METHODS, *MODULES)])
def test_every_argument_there_has_a_row_and_the_row_is_true(heading: str) -> None:
    peer, ours = map(arguments, tables()[heading])
    stated = {names(row[0])[0]: row[1] for row in rows(PAGE[heading])}
    assert list(stated) == list(peer)
    for name, word in stated.items():
        if word == "no":
            assert name not in ours, f"{name} is there"
            continue
        assert word in ("same", "other"), f"{name} is neither same, other nor no"
        assert name in ours, f"{name} is not there"
        if word == "same":
            assert ours[name].kind is peer[name].kind, f"{name} is passed in another way"
            assert repr(ours[name].default) == repr(peer[name].default), f"{name} has another default"


@pytest.mark.parametrize("heading", [f"{name}(…)" for name in ("CrossEncoder", *METHODS, *MODULES)])
def test_every_argument_that_is_only_here_is_named(heading: str) -> None:
    peer, ours = map(arguments, tables()[heading])
    told = re.search(r"^Only here: .*?(?:\n\n|\Z)", PAGE[heading], re.MULTILINE | re.DOTALL)
    only_here = ours.keys() - peer.keys()
    assert only_here <= set(names(told[0]) if told else [])


def test_every_method_there_is_on_the_page_with_its_arguments() -> None:
    gone = dict(re.findall(r"`(\w+)(?:\(([^)`]*)\))?`", "".join(row[0] for row in rows(GONE))))
    for name, value in surface().items():
        if name in METHODS or name in THERE:
            assert hasattr(pairchain.CrossEncoder, name), f"{name} is not there"
            continue
        assert name in gone, f"{name} is not on the page"
        assert not hasattr(pairchain.CrossEncoder, name), f"{name} is there"
        if not isinstance(value, (property, cached_property)):
            signature = inspect.signature(getattr(theirs.CrossEncoder, name)).parameters.values()
            taken = [str(one).partition(":")[0].partition("=")[0].strip() for one in signature if one.name != "self"]
            assert [part.strip() for part in gone[name].split(",") if part] == taken


def test_older_names_of_arguments_work_as_the_page_says() -> None:
    from pairchain.engine import legacy

    older = {*legacy.INIT_RENAMES, *legacy.INIT_NESTED, *legacy.INIT_POSITIONAL[1:]}
    assert older <= set(names(PAGE["CrossEncoder(…)"].rpartition("Older names")[2]))
    assert {*legacy.PREDICT_RENAMES, *legacy.PREDICT_IGNORED} <= set(names(PAGE["predict(…)"]))
