"""Whatever a model's files say, what is shown of it neither steers a terminal, nor looks like ours, nor has no end."""

from __future__ import annotations

import io
import json
import logging
import shutil
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import run

import pairchain
from pairchain import CrossEncoder
from pairchain.chain.tree import tree_of
from pairchain.errors import InputError, PairchainError, warn
from pairchain.text.escaping import MOST_OF_LINE, on_one_line, readable, shortened
from pairchain.text.nearest import nearest

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = ("bert_seqcls_1label", "pooling_mean", "router_by_task", "qwen3_causal_logitscore")

# Colours, a title for the window, the other direction, what is not seen, and what looks like a line of ours.
TRICKS = "\x1b[31m\x1b]0;title\x07\x9b2J\x7f\u202e\u200b\u2028\n  next:  pip install evil\r"
LONG = "x" * 300_000
# More than any report of these models has, and far less than what their files hold.
MOST_SHOWN = 60_000


def steers_nothing(text: str) -> bool:
    return text.replace("\n", "").isprintable()


def is_harmless(text: str) -> bool:
    return text.replace("\n", "").isprintable() and "\n  next:  pip install evil" not in text


def with_words(value: Any, word: str, *, keys: bool) -> Any:
    """Return a JSON value with ``word`` behind every text in it, and as one more key of every object."""
    if isinstance(value, str):
        return value + word
    if isinstance(value, list):
        return [with_words(item, word, keys=keys) for item in value]
    if isinstance(value, dict):
        changed = {key: with_words(item, word, keys=keys) for key, item in value.items()}
        return {**changed, word: word} if keys else changed
    return value


def texts_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the texts are in a JSON value; of a long list only the first."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, list):
        for place, item in enumerate(value[:2]):
            yield from texts_in(item, (*path, place))
    elif isinstance(value, dict):
        for key, item in list(value.items())[:40]:
            yield from texts_in(item, (*path, key))


def spoiled(folder: Path, word: str) -> Iterator[str]:
    """Spoil one text, or all the keys, of one file of the model in ``folder`` at a time, and yield which."""
    names = ("modules.json", "config_sentence_transformers.json", "config.json", "*_config.json", "*/*config.json")
    for file in sorted({path for name in names for path in folder.glob(name)}):
        before = file.read_text()
        values = json.loads(before)
        for place in texts_in(values):
            changed = json.loads(before)
            home = changed
            for key in place[:-1]:
                home = home[key]
            home[place[-1]] += word
            file.write_text(json.dumps(changed))
            yield f"{file.name} {place}"
        for changed in (with_words(values, word, keys=True), with_words(values, word, keys=False)):
            file.write_text(json.dumps(changed))
            yield f"{file.name}, everywhere"
        file.write_text(before)


def shown_of(act: Callable[[], Any]) -> str:
    """Return all that a person sees of ``act``: what it writes, warns, logs and raises, and its result as text."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(stream), redirect_stderr(stream):
        warnings.simplefilter("always")
        try:
            result = act()
            said = f"{result}\n{result!r}"
        except PairchainError as error:
            said = str(error)
        finally:
            logging.getLogger().removeHandler(handler)
    told = [str(one.message) for one in caught if issubclass(one.category, pairchain.PairchainWarning)]
    return "\n".join([said, stream.getvalue(), *told])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word"),
    [*((name, TRICKS) for name in MODELS), ("pooling_mean", LONG)],
    ids=lambda given: "long" if given == LONG else "tricks" if given == TRICKS else given,
)
def test_no_text_of_a_models_files_steers_the_terminal_or_fills_it(tmp_path: Path, name: str, word: str) -> None:
    folder = shutil.copytree(GOLDEN / name / "model", tmp_path / "model")
    for number, place in enumerate(spoiled(folder, word)):
        acts: list[Callable[[], Any]] = [lambda: pairchain.inspect(folder)]
        # loading takes longer, and each of these looks at the same files
        acts.append(
            [lambda: CrossEncoder(folder, device="cpu"), lambda: pairchain.lock(folder, tmp_path / "a.lock.json")][
                number % 2
            ]
        )
        for act in acts:
            shown = shown_of(act)
            assert is_harmless(shown), (place, [line[:300] for line in shown.split("\n") if not is_harmless(line)][:3])
            assert len(shown) < MOST_SHOWN, (place, len(shown), shown[:500])


@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("word", [TRICKS, LONG], ids=["tricks", "long"])
def test_the_command_shows_no_more_of_it(tmp_path: Path, word: str) -> None:
    folder = shutil.copytree(GOLDEN / "pooling_mean" / "model", tmp_path / "model")
    entries = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(with_words(entries, word, keys=True)))
    for arguments in (["inspect"], ["inspect", "--mermaid"], ["inspect", "--html", "-"], ["lock", "-o", "-"]):
        ended = run(arguments[0], folder, *arguments[1:])
        # in HTML the end of a line is a space
        assert (steers_nothing if "--html" in arguments else is_harmless)(ended.out + ended.err), arguments
        assert len(ended.out) < MOST_SHOWN, arguments
        assert len(ended.err) < MOST_SHOWN, arguments
    ended = run("rank", folder, "a query", "a document")
    assert ended.code == 1
    assert is_harmless(ended.out + ended.err)
    assert len(ended.err) < MOST_SHOWN


@pytest.mark.parametrize("word", ["\x1b[31m\u202e\x07\n  next:  pip install evil", LONG], ids=["tricks", "long"])
def test_a_loaded_model_prints_the_names_of_its_modules_harmlessly(tmp_path: Path, word: str) -> None:
    folder = shutil.copytree(GOLDEN / "pooling_mean" / "model", tmp_path / "model")
    entries = json.loads((folder / "modules.json").read_text())
    for entry in entries:
        entry["name"] += word.replace(".", "")
    (folder / "modules.json").write_text(json.dumps(entries))
    model = CrossEncoder(folder, device="cpu")
    model.save_pretrained(tmp_path / "saved")
    trace = model.trace([("a", "b")])
    for shown in (repr(model), str(model), str(trace), (tmp_path / "saved" / "README.md").read_text()):
        assert is_harmless(shown)
        assert len(shown) < MOST_SHOWN
    assert "Transformer(" in repr(model)
    assert list(model._modules) == [entry["name"] for entry in entries]
    assert len(trace._repr_html_()) < MOST_SHOWN
    assert is_harmless(trace._repr_html_())


def test_a_plain_chain_prints_as_torch_prints_it() -> None:
    for name in MODELS:
        model = CrossEncoder(GOLDEN / name / "model", device="cpu")
        # torch's own way, around modules that print themselves
        assert repr(model).startswith("CrossEncoder(\n  (0): ")
        assert repr(model).endswith("\n)")
        assert tree_of(model) == repr(model)


@pytest.mark.parametrize("word", [TRICKS.partition("\n")[0], LONG[:60_000]], ids=["tricks", "long"])
def test_names_of_tensors_are_shown_harmlessly(tmp_path: Path, word: str) -> None:
    for name in ("bert_seqcls_1label", "chain_normalize_layernorm_dense"):
        folder = shutil.copytree(GOLDEN / name / "model", tmp_path / name)
        for file in folder.rglob("*.safetensors"):
            data = file.read_bytes()
            (size,) = struct.unpack("<Q", data[:8])
            header = json.loads(data[8 : 8 + size])
            named = {(key if key == "__metadata__" else key + word): value for key, value in header.items()}
            changed = json.dumps(named).encode()
            file.write_bytes(struct.pack("<Q", len(changed)) + changed + data[8 + size :])
        for look in (pairchain.inspect, CrossEncoder):
            shown = shown_of(partial(look, folder))
            assert is_harmless(shown), [line[:300] for line in shown.split("\n") if not is_harmless(line)][:3]
            assert len(shown) < MOST_SHOWN


# -- at the one place --


def test_an_error_shows_the_beginning_and_end_of_a_long_line_and_says_how_much_is_between() -> None:
    text = str(PairchainError(f"the key {LONG!r} is no key.", next_step="take it out."))
    assert text.startswith("the key 'xxx")
    assert "xxx' is no key.\n  next:  take it out." in text
    assert "characters …" in text
    assert len(text) < 2 * MOST_OF_LINE


def test_the_words_between_long_values_stay() -> None:
    text = str(PairchainError(f"the key {LONG!r} is no {' '.join([LONG] * 3)!r}, but {LONG}, so it is refused here."))
    assert [
        word for word in ("the key 'xxx", "' is no 'xxx", "', but xxx", "so it is refused here.") if word not in text
    ] == []
    assert len(text) < MOST_OF_LINE + 10


def test_an_error_shows_no_more_lines_than_a_person_reads_and_keeps_all_that_it_is_about() -> None:
    lines = tuple(f"the file {number} changed" for number in range(5_000))
    error = pairchain.errors.LockError("changed:\n" + "\n".join(lines), mismatches=lines)
    assert len(str(error).split("\n")) < 70
    assert "more lines" in str(error)
    assert error.mismatches == lines


def test_an_input_error_that_learns_its_place_stays_short() -> None:
    error = InputError(f"is {LONG!r}, which is no pair.")
    error.place(7)
    assert str(error).startswith("input 7 is 'xxx")
    assert len(str(error)) < 2 * MOST_OF_LINE


def test_a_warning_is_as_short_and_harmless() -> None:
    with pytest.warns(pairchain.PairchainWarning) as caught:
        warn(f"the key {LONG}{TRICKS!r} {chr(27)} is none.")
    assert is_harmless(str(caught[0].message))
    assert len(str(caught[0].message)) < 2 * MOST_OF_LINE


@pytest.mark.parametrize("size", [0, 1, 39, 40, 41, 999, 1000, 1001, 5000])
def test_what_is_short_is_shown_as_it_is_and_the_rest_is_no_longer_than_asked(size: int) -> None:
    text = "ab" * size
    assert shortened(text) == text if len(text) <= MOST_OF_LINE else len(shortened(text)) <= MOST_OF_LINE
    assert len(on_one_line(text, 100)) <= 100
    assert readable(text) == shortened(text)


def test_a_name_of_megabytes_is_compared_with_nothing() -> None:
    assert nearest(LONG, ["Dense", LONG[1:]]) == ""
    assert nearest("Dens", ["Dense", LONG]) == " (did you mean 'Dense'?)"
