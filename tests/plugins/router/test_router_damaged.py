"""A Router's file, damaged: whatever stands in it gives a Router or an error that says what is wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import PAIRS
from route_models import CLASSES, WHOLE, letters_router
from tiny_models import load

from pairchain import CrossEncoder, PairchainError
from pairchain.errors import ChainError, FormatError, MissingFileError, UnknownTypeError, UnsafePathError


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("{", FormatError, ["router_config.json of", "folder deep is not JSON", "line 1"]),
        ("[]", FormatError, ["must hold a JSON object, got a list"]),
        ({"types": None}, FormatError, ["'types' is None, not an object"]),
        ({"structure": ["a"]}, FormatError, ["'structure' is ['a'], not an object"]),
        ({"parameters": "x"}, FormatError, ["'parameters' is 'x', not an object"]),
        ({"types": {**WHOLE["types"], "plain": 7}}, FormatError, ["the type of 'plain' is 7, not a string"]),
        ({"types": {}}, FormatError, ["the route 'a' names 'in', which 'types' does not contain"]),
        ({"structure": {"a": ["in", "plian"]}}, FormatError, ["the route 'a' names 'plian', which"]),
        ({"structure": {"a": ["in", ["plain"]]}}, FormatError, ["the route 'a' names ['plain'], which"]),
        ({"structure": {"a": "in"}}, FormatError, ["the route 'a' is 'in', not a list of modules"]),
        ({"structure": {"a": None}}, FormatError, ["the route 'a' is None, not a list of modules"]),
        ({"structure": {}}, FormatError, ["at least one route"]),
        ({"structure": {"b": [], "a": ["in"]}}, FormatError, ["the route 'b'"]),
        ({"structure": {"a.b": ["in"]}}, FormatError, ["a route is named 'a.b'", "without dots"]),
        ({"structure": {"/a": ["in"]}}, UnsafePathError, ["a route's name is '/a', which leaves the model's folder"]),
        ({"types": {"../in": "my.Letters"}}, UnsafePathError, ["a module's folder is '../in', which leaves"]),
        ({"types": {"/etc": "my.Letters"}}, UnsafePathError, ["a module's folder is '/etc', which leaves"]),
        ({"types": {"C:\\in": "my.Letters"}}, UnsafePathError, ["which leaves the model's folder"]),
        ({"types": {"": "Router"}}, FormatError, ["a module's folder is '', which is the Router's own"]),
        ({"types": {"./.": "Router"}}, FormatError, ["a module's folder is './.', which is the Router's own"]),
        ({"parameters": {"default_route": "c"}}, FormatError, ["'c' is not one of the routes", "the routes are a, b"]),
        ({"parameters": {"default_route": 5}}, FormatError, ["5 is not one of the routes"]),
        ({"parameters": {"allow_empty_key": "no"}}, FormatError, ["'allow_empty_key' is 'no', neither true nor false"]),
        ({"parameters": {"route_mappings": []}}, FormatError, ["'route_mappings' is [], not an object"]),
        ({"parameters": {"route_mappings": {"(None, 'text')": "c"}}}, FormatError, ["'c' is not one of the routes"]),
        ({"parameters": {"route_mappings": {"(None, 'text')": ["a"]}}}, FormatError, ["['a'] is not one of the"]),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong_in_it(
    change: Any, error: Any, words: list[str], tmp_path: Path
) -> None:
    folder = letters_router(tmp_path / "model", change if isinstance(change, str) else {**WHOLE, **change})

    with pytest.raises(error) as caught:
        load(folder, module_classes=CLASSES)

    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


def test_a_section_or_the_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for section in WHOLE:
        folder = letters_router(tmp_path / section, {key: WHOLE[key] for key in WHOLE if key != section})
        with pytest.raises(
            FormatError, match=rf"router_config\.json of .*{section}, folder deep: '{section}' is missing"
        ):
            load(folder, module_classes=CLASSES)
    (folder / "deep" / "router_config.json").unlink()
    with pytest.raises(MissingFileError, match=r"deep/router_config\.json is missing\. It says which routes there are"):
        load(folder, module_classes=CLASSES)


@pytest.mark.parametrize(
    "key",
    [
        "text",
        "None",
        "('t',)",
        "('t', None, None)",
        "['t', None]",
        "(1, 'text')",
        "(None, 1)",
        "(None, ())",
        "(None, ('text', None))",
        "(None, {'text'})",
        "{[]}",
        "(None, 'te' 'xt').__class__",
        "(open('ran', 'w'), None)",
        "__import__('pathlib').Path('ran').touch()",
        "(None, 'text'",
        "('t', None)" * 40,
        "-" * 100_000 + "1",
        "(" * 1000,
        "\0",
        "",
    ],
)
def test_a_rule_that_is_no_pair_of_task_and_modality_is_refused_and_never_run(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = letters_router(tmp_path / "model", {**WHOLE, "parameters": {"route_mappings": {key: "a"}}})

    with pytest.raises(FormatError, match="is not a tuple of task and modality") as caught:
        load(folder, module_classes=CLASSES)

    assert len(str(caught.value)) < 600
    assert not Path("ran").exists()


names = st.sampled_from(["a", "b", "in", "plain", "scaled", "", ".", "..", "a.b", "keys", "/x", "\0"]) | st.text(
    max_size=3
)
leaves = st.none() | st.booleans() | st.integers() | names | st.sampled_from(["my.Letters", "my.Difference", "Router"])
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3), max_leaves=5)
keys = st.sampled_from(["(None, 'text')", "('t', ('text', 'image'))", "None", "("]) | st.text(max_size=6)
files = st.fixed_dictionaries(
    {},
    optional={
        "types": st.dictionaries(names, leaves, max_size=3) | values,
        "structure": st.dictionaries(names, st.lists(names, max_size=3), max_size=3) | values,
        "parameters": values
        | st.fixed_dictionaries(
            {},
            optional={
                "default_route": leaves,
                "allow_empty_key": leaves,
                "route_mappings": st.dictionaries(keys, leaves, max_size=2) | values,
            },
        ),
        "distributions": values,
        "other": values,
    },
)


def outcome(folder: Path) -> CrossEncoder | PairchainError:
    """Return the model in ``folder``, or pairchain's error; any other exception is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load(folder, module_classes=CLASSES)
        except PairchainError as error:
            return error


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(files)
def test_whatever_stands_in_the_file_gives_a_model_or_an_error_of_ours(changes: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        found = outcome(letters_router(Path(folder) / "model", {**WHOLE, **changes}))
    if isinstance(found, CrossEncoder):
        task = found[0].routes.names[0]
        assert found.predict(PAIRS, modality="text", task=task).shape == (4,)
        return
    # a class is not there, the routes do not score, or the file is wrong, and then not by a Python error
    assert isinstance(found, (UnknownTypeError, ChainError, FormatError))
    assert "Error:" not in str(found)
