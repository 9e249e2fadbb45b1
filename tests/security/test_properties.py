"""Whatever a model's files hold, opening it gives a chain, or an error of pairchain and never another."""

from __future__ import annotations

import json
import ntpath
import posixpath
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traps import GOLDEN, router, write

import pairchain
from pairchain import CrossEncoder, Lock, PairchainError
from pairchain.code.bundle import Reference, parse

pytestmark = pytest.mark.slow

# The same examples every time, so that a failure is the fault of a change. Fixtures are folders, in which each example
# writes the one file that it is about.
MANY = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
FEW = settings(MANY, max_examples=40)

# Half characters too, which JSON can say and no file name can.
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
TELLING = st.sampled_from(
    [
        *("", ".", "..", "/", "../x", "a/../../b", "/etc", "C:", "C:\\x", "\\\\x", "a\0b", "~", "\x1b[2J", "\ud800"),
        *("os.system", "torch.nn.Linear", "head.Head", "a.b.c.D", "Router", "Transformer", "Dense", "Pooling", "Asym"),
        *("nobody/nothing--head.Head", "--x.Y", "nobody/nothing--", "a--b--c.D", "x://y--z.W", "s3://a/b"),
        *("sentence_transformers.base.modules.Router", "sentence_transformers.models.CNN", "sentence_transformers."),
        *(
            "scores",
            "forward",
            "training",
            "__class__",
            "text",
            "query",
            "1_Pooling",
            "2_Dense",
            "9" * 5000,
            "a" * 5000,
        ),
        *("True", "None", "('a', None)", "[[[", "torch.nn.Softmax", "torch.nn.modules.activation.PReLU", "float32"),
    ]
)
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**4000, 1e308])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT, TELLING)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(TEXT, TELLING), inner, max_size=4)),
    max_leaves=12,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside ``value``, and to itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(found for key, inner in items for found in places(inner, (*way, key)))]


def mutated(valid: Any) -> st.SearchStrategy[str]:
    """Return texts of JSON that is ``valid`` but for some values, which are others, are gone, or are there twice."""

    @st.composite
    def mutate(draw: st.DrawFn) -> str:
        root = [json.loads(json.dumps(valid))]
        for _ in range(draw(st.integers(1, 3))):
            *way, key = 0, *draw(st.sampled_from(places(root[0])))
            parent: Any = root
            for step in way:
                parent = parent[step]
            change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
            if change == "replace" or parent is root:
                parent[key] = draw(ANY_JSON)
            elif change == "remove":
                del parent[key]
            elif isinstance(parent, list):
                parent.insert(key, parent[key])
            else:
                parent[draw(st.one_of(TEXT, TELLING))] = draw(st.one_of(st.just(parent[key]), ANY_JSON))
        return json.dumps(root[0])

    return mutate()


def attempt(call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns, or the error of pairchain that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except PairchainError as error:
            str(error).encode()
            return error


def opened(folder: Path) -> None:
    """Open the model in every way, each of which ends in a chain, a report, a lock, or an error of pairchain."""
    report = attempt(lambda: pairchain.inspect(folder))
    if not isinstance(report, PairchainError):
        str(report).encode()
        json.dumps(report.to_json())
    attempt(lambda: pairchain.lock(folder, None))
    model = attempt(lambda: CrossEncoder(folder, device="cpu"))
    if isinstance(model, CrossEncoder):
        attempt(lambda: model.predict([("a", "b")]))


MODULES = json.loads((GOLDEN / "pooling_mean" / "model" / "modules.json").read_text())
SETTINGS = {
    **json.loads((GOLDEN / "pooling_mean" / "model" / "config_sentence_transformers.json").read_text()),
    "activation_fn": "torch.nn.Softmax",
    "activation_arguments": {"dim": -1},
    "prompts": {"query": "find: "},
    "default_prompt_name": "query",
    "keep_in_fp32_modules": ["2.linear"],
    "requirements": {"torch": ">=2", "numpy": {"specifier": ">=1", "reason": "it counts"}},
}


@MANY
@given(content=st.binary(max_size=200))
@pytest.mark.parametrize(
    "file",
    [
        "modules.json",
        "config_sentence_transformers.json",
        "router_config.json",
        "sentence_bert_config.json",
        "config.json",
    ],
)
def test_any_bytes(content: bytes, file: str, pooled: Path) -> None:
    if file == "router_config.json":
        router(pooled, {})
    write(pooled, {file: content})
    opened(pooled)


@FEW
@given(value=ANY_JSON)
@pytest.mark.parametrize(
    "file", ["modules.json", "config_sentence_transformers.json", "router_config.json", "2_Dense/config.json"]
)
def test_any_json(value: Any, file: str, pooled: Path) -> None:
    if file == "router_config.json":
        router(pooled, {})
    write(pooled, {file: json.dumps(value)})
    opened(pooled)


@MANY
@given(text=mutated(MODULES))
def test_modules_that_are_almost_right(text: str, pooled: Path) -> None:
    write(pooled, {"modules.json": text})
    opened(pooled)


@MANY
@given(text=mutated(SETTINGS))
def test_settings_that_are_almost_right(text: str, pooled: Path) -> None:
    write(pooled, {"config_sentence_transformers.json": text})
    opened(pooled)


@pytest.fixture
def routed(tmp_path: Path) -> Path:
    """A copy of a Router that has a route for each task."""
    return Path(shutil.copytree(GOLDEN / "router_by_task" / "model", tmp_path / "routed"))


@FEW
@given(text=mutated(json.loads((GOLDEN / "router_by_task" / "model" / "router_config.json").read_text())))
def test_a_router_that_is_almost_right(text: str, routed: Path) -> None:
    opened(write(routed, {"router_config.json": text}))


@FEW
@given(data=st.data())
@pytest.mark.parametrize("file", ["sentence_bert_config.json", "1_Pooling/config.json", "2_Dense/config.json"])
def test_the_configuration_of_a_module_that_is_almost_right(file: str, data: st.DataObject, pooled: Path) -> None:
    valid = json.loads((GOLDEN / "pooling_mean" / "model" / file).read_text())
    write(pooled, {file: data.draw(mutated(valid))})
    opened(pooled)


@MANY
@given(content=st.one_of(st.binary(max_size=200), ANY_JSON.map(lambda value: json.dumps(value).encode())))
def test_any_lock(content: bytes, tmp_path: Path) -> None:
    write(tmp_path, {"lock.json": content})

    assert isinstance(attempt(lambda: Lock.read(tmp_path / "lock.json")), Lock | PairchainError)


@FEW
@given(data=st.data())
def test_a_lock_that_is_almost_right(data: st.DataObject, classifier: Path) -> None:
    valid = pairchain.lock(classifier, None).to_json()
    write(classifier.parent, {"lock.json": data.draw(mutated(valid))})

    model = attempt(lambda: CrossEncoder(classifier, device="cpu", lock=classifier.parent / "lock.json"))
    assert isinstance(model, CrossEncoder | PairchainError)


@settings(MANY, max_examples=1000)
@given(name=st.one_of(TEXT, TELLING, st.lists(st.one_of(TEXT, TELLING), max_size=4).map(".".join)))
def test_a_type_leads_to_no_file_outside(name: str) -> None:
    found = attempt(lambda: parse(name))
    for path in found.paths if isinstance(found, Reference) else ():
        for module in (posixpath, ntpath):
            inside = module.normpath(module.join("/root/of/model", path))
            assert inside.replace("\\", "/").startswith("/root/of/model/")
