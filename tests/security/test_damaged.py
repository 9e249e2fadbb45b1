"""Files made to break their reader: deep, huge, endless or full of tricks; each ends in an error that says so."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from traps import GOLDEN, PAIRS, Canary, router, safetensors, with_module, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, PairchainError, TrustRequiredError

SETTINGS = [
    "modules.json",
    "config_sentence_transformers.json",
    "config.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "router_config.json",
    "adapter_config.json",
    "model.safetensors.index.json",
    "2_Dense/config.json",
]


def refused(folder: Path, kinds: tuple[type[Exception], ...] = (PairchainError,)) -> Exception:
    """Return the error that loading ends in; looking and locking end in one too, or in a report that can be printed."""
    for look in (pairchain.inspect, lambda path: pairchain.lock(path, None)):
        try:
            found = look(folder)
        except PairchainError:
            continue
        if isinstance(found, pairchain.Report):
            str(found).encode()
            json.dumps(found.to_json())
    with pytest.raises(kinds) as caught:
        CrossEncoder(folder, device="cpu")
    str(caught.value).encode()
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("file", SETTINGS)
@pytest.mark.parametrize("depth", [80, 900, 5_000, 200_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_settings_nested_deeper_than_anybody_would(brackets: str, depth: int, file: str, pooled: Path) -> None:
    opening = brackets[0] if brackets == "[]" else '{"a":'
    text = opening * depth + "1" + brackets[1] * depth
    write(pooled, {file: text if brackets == "{}" else f'{{"auto_map": {text}}}'})
    if file == "router_config.json":
        router(pooled, {"a": "Normalize"})
        write(pooled, {file: text})
    if file == "model.safetensors.index.json":
        (pooled / "model.safetensors").unlink()
    if file == "adapter_config.json":
        (pooled / "config.json").unlink()

    refused(pooled)


@pytest.mark.parametrize("file", SETTINGS[:4])
def test_settings_larger_than_anybody_would_write(file: str, pooled: Path) -> None:
    with (pooled / file).open("wb") as sparse:
        sparse.truncate(2**40)

    assert "is larger than" in str(refused(pooled))


def header(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


def tensor(dtype: Any = "F32", shape: Any = (1,), data_offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


HEADERS = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "longest length": safetensors(b"{}", 2**64 - 1),
    "length of a terabyte": safetensors(b"{}", 2**40),
    "longer than the file": safetensors(b"{}", 100),
    "deep list": safetensors(b"[" * 100_000 + b"]" * 100_000),
    "deep object": safetensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "not JSON": safetensors(b"{" * 1000),
    "not UTF-8": safetensors(b'{"\xff": 1}'),
    "a list": safetensors(b"[1]"),
    "huge number": safetensors(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 10_000 + b'], "data_offsets": [0, 4]}}'),
    "gigantic tensor": safetensors(header(a=tensor(shape=[2**62] * 8))),
    "many dimensions": safetensors(header(a=tensor(shape=[10**18] * 100_000))),
    "numbers of 4000 digits": safetensors(header(a=tensor(shape=[10**4000] * 50))),
    "negative size": safetensors(header(a=tensor(shape=[-1]))),
    "size that is a text": safetensors(header(a=tensor(shape=["1"]))),
    "size that is true": safetensors(header(a=tensor(shape=[True]))),
    "dtype with many digits": safetensors(header(a=tensor(dtype="F" + "9" * 5000))),
    "dtype with odd digits": safetensors(header(a=tensor(dtype="F²"))),
    "dtype that is none": safetensors(header(a=tensor(dtype=None))),
    "offsets outside": safetensors(header(a=tensor(data_offsets=[0, 2**62]))),
    "offsets backwards": safetensors(header(a=tensor(data_offsets=[4, 0]))),
    "offsets that are texts": safetensors(header(a=tensor(data_offsets=["0", "4"]))),
    "metadata that is a list": safetensors(b'{"__metadata__": [1], "a": 1}'),
    "control characters": safetensors(header(**{"\x1b[2J": tensor(dtype="\x1b[31m")})),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("place", ["", "2_Dense"])
def test_weights_whose_header_is_made_to_harm(place: str, name: str, pooled: Path) -> None:
    write(pooled / place, {"model.safetensors": HEADERS[name]})

    refused(pooled, (FormatError,))
    assert any(problem.fails for problem in pairchain.inspect(pooled).problems)


NUMBERS = [10**30, 10**4000, -1, -(10**30), 2**63, 1e308, float("inf"), float("nan"), True, None, "1", [1], {}]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number)[:20])
@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("2_Dense/config.json", "in_features"),
        ("2_Dense/config.json", "out_features"),
        ("1_Pooling/config.json", "embedding_dimension"),
        ("sentence_bert_config.json", "max_seq_length"),
        ("config.json", "vocab_size"),
        ("config.json", "hidden_size"),
        ("config.json", "num_labels"),
        ("tokenizer_config.json", "model_max_length"),
        ("modules.json", "idx"),
    ],
)
def test_numbers_that_make_no_sense(file: str, key: str, number: Any, pooled: Path) -> None:
    values = json.loads((pooled / file).read_text())
    (values[2] if isinstance(values, list) else values)[key] = number
    write(pooled, {file: json.dumps(values)})

    try:
        scores = CrossEncoder(pooled, device="cpu").predict(PAIRS)
    except (PairchainError, MemoryError):
        pass
    else:
        assert len(scores) == len(PAIRS)
    report = pairchain.inspect(pooled)
    assert str(report)
    assert json.dumps(report.to_json())


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS[:-5], ids=lambda number: repr(number)[:20])
@pytest.mark.parametrize(
    ("name", "argument"), [("Softmax", "dim"), ("PReLU", "num_parameters"), ("Hardtanh", "max_val"), ("ELU", "alpha")]
)
def test_activations_with_arguments_that_make_no_sense(name: str, argument: str, number: Any, classifier: Path) -> None:
    settings = json.loads((classifier / "config_sentence_transformers.json").read_text())
    settings |= {"activation_fn": f"torch.nn.{name}", "activation_arguments": {argument: number}}
    write(classifier, {"config_sentence_transformers.json": json.dumps(settings)})

    with contextlib.suppress(PairchainError, MemoryError):
        CrossEncoder(classifier, device="cpu").predict(PAIRS)


CODE = {
    "brackets": "(" * 100_000,
    "minus signs": "-" * 100_000 + "1",
    "nots": "x = " + "not " * 100_000 + "1",
    "attributes": "x" + ".a" * 300_000,
    "calls": "x" + "()" * 300_000,
    "sums": "x = 1" + "+1" * 300_000,
    "lambdas": "x = " + "lambda:" * 50_000 + "1",
    "elifs": "if 0: pass\n" + "elif 0: pass\n" * 50_000,
    "f-strings": "x = " + "f'{" * 50 + "1" + "}'" * 50,
    "NUL": "import os\0",
    "not UTF-8": b"\xff\xfe",
    "an encoding nobody has": "# coding: evil\nimport os",
    "an encoding that hides": "# coding: utf-7\n+AAo-import evil",
    "blanks": " " * 1_000_000,
    "too large": "#" * 2_000_000,
    "imports": "\n".join(f"import a{number}" for number in range(3_000)),
    "dots": "from " + "." * 100_000 + " import x",
    "a name of a megabyte": "import " + "a" * 1_000_000,
    "a package of a thousand": "import " + ".".join(["a"] * 10_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_code_that_is_made_to_break_who_looks_at_it(name: str, classifier: Path) -> None:
    with_module(classifier, "head.Head", {"9_Head/config.json": "{}"})
    write(classifier, {"head.py": CODE[name]})

    error = refused(classifier)
    assert isinstance(error, TrustRequiredError) or "larger than" in str(error)


def test_routers_that_hold_themselves_or_one_folder_by_many_names(classifier: Path) -> None:
    names = ["a", "a/", "./a", "a/.", "a//", "././a"]
    inside = classifier
    for _ in range(9):
        router(inside, dict.fromkeys(names, "Router"))
        inside = inside / "a"
    write(inside, {"config.json": "{}"})

    assert "are one folder" in str(refused(classifier))


def test_routers_of_links_to_one_folder(classifier: Path) -> None:
    inside = classifier
    for _ in range(9):
        router(inside, {f"a{number}": "Router" for number in range(9)})
        for number in range(1, 9):
            os.symlink("a0", inside / f"a{number}")
        inside = inside / "a0"
        inside.mkdir()
    write(inside, {"config.json": "{}"})

    assert "are links" in str(refused(classifier))


def test_a_requirement_that_is_made_to_break_its_reader(classifier: Path) -> None:
    for text in ("x; " + "(" * 50_000, "x " + "(" * 50_000, "x @ " + "a" * 100_000, "[" * 10_000):
        settings = {"model_type": "CrossEncoder", "requirements": {text: ">=1"}}
        write(classifier, {"config_sentence_transformers.json": json.dumps(settings)})
        refused(classifier, (FormatError,))


TRICKS = "\x1b[2J\x1b[H\r\n  approval: none needed\u202e\x07"


# What a reviewer reads must be what is there: no text of the model may move the cursor or add lines of its own.
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("tricks", [TRICKS, f"{TRICKS}\ud800"])
def test_a_report_shows_tricks_in_names_as_what_they_are(tricks: str, classifier: Path, canary: Canary) -> None:
    with_module(classifier, "head.Head", {"head.py": canary.head(), "9_Head/config.json": "{}"})
    entries = json.loads((classifier / "modules.json").read_text())
    entries[0] |= {"name": f"a{tricks}", tricks: tricks, "distribution": tricks, "kwargs": [tricks]}
    entries.append({"idx": 2, "name": "b", "path": tricks, "type": f"evil{tricks}"})
    settings = json.loads((classifier / "config_sentence_transformers.json").read_text())
    settings |= {"prompts": {tricks: tricks}, "activation_fn": tricks, "default_prompt_name": tricks, tricks: 1}
    write(classifier, {"modules.json": json.dumps(entries)})
    write(classifier, {"config_sentence_transformers.json": json.dumps(settings)})

    shown = str(pairchain.inspect(classifier))
    error = str(refused(classifier))

    for text in (shown, error):
        text.encode()
        assert not [character for character in text if not character.isprintable() and character != "\n"]
    assert not [line for line in shown.splitlines() if line.strip() == "approval: none needed"]
    assert not canary.sang


JINJA = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ raise_exception.__globals__['__builtins__']['open'](canary, 'w') }}",
    "{{ cycler.__init__.__globals__.os.system('touch ' + canary) }}",
    "{{ lipsum.__globals__['os'].popen('touch ' + canary) }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').system('touch ' + canary) }}",
    "{{ messages | attr('__class__') | attr('__mro__') }}",
    "{{ (messages | map(attribute='__class__') | list)[0].__mro__ }}",
    "{{ '%s' | format(messages.__reduce_ex__(2)) }}",
    "{{ strftime_now.__globals__ }}",
    "{% import '/etc/passwd' as evil %}{{ evil }}",
    "{% include '/etc/passwd' %}",
    "{% set x = messages.append({'role': 'evil'}) %}",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("template", JINJA)
def test_a_chat_template_reaches_for_nothing(template: str, tmp_path: Path, canary: Canary) -> None:
    model = Path(shutil.copytree(GOLDEN / "qwen3_seqcls_chat_template" / "model", tmp_path / "model"))

    def answer(text: str) -> None:
        write(model, {"chat_template.jinja": text})
        CrossEncoder(model, device="cpu").predict(PAIRS)

    with pytest.raises(PairchainError, match="rendered"):
        answer("{{ raise_exception('it is rendered') }}")
    with contextlib.suppress(PairchainError):
        answer(template.replace("canary", repr(str(canary.path))))
    assert not canary.sang


def test_names_of_modules_that_mean_something_else(classifier: Path) -> None:
    for name in ("training", "forward", "predict", "_modules", "__class__", "source", "0", "é", "a b", "\u202e"):
        entries = json.loads((classifier / "modules.json").read_text())
        entries[0]["name"] = name
        write(classifier, {"modules.json": json.dumps(entries)})
        try:
            scores = CrossEncoder(classifier, device="cpu").predict(PAIRS)
        except PairchainError:
            continue
        assert len(scores) == len(PAIRS)
        assert name in ("0", "é", "a b", "\u202e")
