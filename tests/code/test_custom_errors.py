"""What code of a model raises reaches the user as it was, and says from which module, file and commit it came."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from custom_models import LENGTHS, PAIRS, head, load, save_by_hand
from hub_server import HubServer

from pairchain.errors import ChainError, FormatError, InputError

TYPES = ["lengths.Lengths", "heads.Head"]
# Where a file raises: what is added to its class or before it, and how its note names that.
STAGES = {
    "import": ("raise LookupError('no such word')", "", "raised while importing Head from"),
    "init": ("", "def __init__(self): raise LookupError('no such word')", "raised by Head.load for 1_Part, from"),
    "load": (
        "",
        "@classmethod\n    def load(cls, path): raise LookupError('no such word')",
        "raised by Head.load for 1_Part, from",
    ),
    "ready": (
        "",
        "def on_model_ready(self, model): raise LookupError('no such word')",
        "raised by Head.on_model_ready, from",
    ),
    "forward": ("", "def forward(self, features): raise LookupError('no such word')", "raised by module 1, Head, from"),
    "save": ("", "def save(self, *args, **kwargs): raise LookupError('no such word')", "raised by Head.save, from"),
}


def save_raising(folder: Path, stage: str) -> Path:
    """Write a model whose head raises a LookupError at that stage."""
    before, method, _ = STAGES[stage]
    return save_by_hand(folder, TYPES, {"heads.py": f"{head(before=before)}\n    {method}\n", "1_Part/notes.txt": ""})


def use(name: str | Path, folder: Path) -> None:
    """Load, score and save the model."""
    model = load(name)
    model.predict(PAIRS)
    model.save_pretrained(folder)


def notes(error: BaseException) -> list[str]:
    # another note names the inputs that were scored
    return [note for note in getattr(error, "__notes__", ()) if not note.startswith("while scoring ")]


@pytest.mark.parametrize("stage", STAGES)
def test_in_a_folder_it_is_raised_as_it_was_with_the_file_it_came_from(stage: str, tmp_path: Path) -> None:
    folder = save_raising(tmp_path / "model", stage)
    with pytest.raises(LookupError) as raised:
        use(folder, tmp_path / "again")
    assert type(raised.value) is LookupError
    assert raised.value.args == ("no such word",)
    assert notes(raised.value) == [f"{STAGES[stage][2]} heads.py in {folder}"]
    # the traceback shows the line
    shown = "".join(traceback.format_exception(raised.value))
    assert f'File "{folder / "heads.py"}"' in shown
    assert "raise LookupError('no such word')" in shown


@pytest.mark.parametrize("stage", STAGES)
def test_from_the_hub_it_names_repository_and_commit(stage: str, hub: HubServer, tmp_path: Path) -> None:
    name = f"custom-tests/raises-{stage}"
    hub.add_repo(name)
    commit = hub.commit(name, save_raising(tmp_path / "model", stage))
    with pytest.raises(LookupError, match="no such word") as raised:
        use(name, tmp_path / "again")
    assert notes(raised.value) == [f"{STAGES[stage][2]} heads.py of {name} at {commit}"]


@pytest.mark.parametrize("method", ["preprocess", "tokenize"])
def test_an_input_module_that_fails_is_named(method: str, tmp_path: Path) -> None:
    raising = LENGTHS.replace("def preprocess(self, inputs, prompt=None", f"def {method}(self, inputs")
    code = raising.replace('return {"lengths"', 'raise LookupError("no such word")\n        return {"lengths"')
    folder = save_by_hand(tmp_path, TYPES, {"lengths.py": code, "heads.py": head()})
    with pytest.raises(LookupError, match="no such word") as raised:
        load(folder).predict(PAIRS)
    assert notes(raised.value) == [f"raised by Lengths.{method}, from lengths.py in {folder}"]


def test_an_error_of_pairchains_own_says_where_it_came_from_too(tmp_path: Path) -> None:
    code = LENGTHS.replace("        return", '        raise InputError("no digits", index=1)\n        return')
    code = f"from pairchain.errors import InputError\n{code}"
    folder = save_by_hand(tmp_path, TYPES, {"lengths.py": code, "heads.py": head()})
    with pytest.raises(InputError, match=r"input \d: no digits") as raised:
        load(folder).predict(PAIRS)
    assert notes(raised.value) == [f"raised by Lengths.preprocess, from lengths.py in {folder}"]


def test_a_module_of_a_plugin_gets_no_note(tmp_path: Path) -> None:
    types = ["lengths.Lengths", "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"]
    folder = save_by_hand(tmp_path, types, {"1_Part/config.json": '{"true_token_id": 1}'})
    with pytest.raises(Exception, match="causal_logits") as raised:
        load(folder).predict(PAIRS)
    assert notes(raised.value) == []


# -- what is wrong with the file --


@pytest.mark.parametrize(
    ("code", "kind", "parts"),
    [
        ("def broken(:", SyntaxError, ["invalid syntax", "heads.py, line 1", "importing Head from heads.py in"]),
        ("import not_there", ModuleNotFoundError, ["No module named 'not_there'", "importing Head from heads.py in"]),
        (
            "from .beside import x",
            ModuleNotFoundError,
            ["'.beside' beside the code", "importing Head from heads.py in"],
        ),
        ("import lengths.x", ModuleNotFoundError, ["'lengths.x' beside the code", "importing Head from heads.py in"]),
        ("from . import beside", ImportError, ["'beside': '.' has no such name", "importing Head from heads.py in"]),
        ("from lengths import x", ImportError, ["'x': 'lengths' has no such name", "importing Head from heads.py in"]),
        ("from .. import above", ImportError, ["'..' leaves the folder", "importing Head from heads.py in"]),
        ("class Hed: ...", FormatError, ["heads.py defines no class 'Head' (did you mean 'Hed'?)", "where:"]),
        ("Head = 1", FormatError, ["heads.py defines no class 'Head'"]),
        ("class Head: ...", ChainError, ["'heads.Head'", "not a module", "torch.nn.Module as a base class"]),
    ],
)
def test_a_file_that_gives_no_module_says_why(
    code: str, kind: type[Exception], parts: list[str], tmp_path: Path
) -> None:
    folder = save_by_hand(tmp_path, TYPES, {"heads.py": code})
    with pytest.raises(kind) as raised:
        load(folder)
    told = "\n".join([str(raised.value), *notes(raised.value)])
    for part in parts:
        assert part in told
    assert "pairchain_custom_code" not in str(raised.value)


def test_a_file_that_was_repaired_loads_in_the_same_process(tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path, TYPES, {"heads.py": "raise LookupError", "helper.py": ""})
    with pytest.raises(LookupError):
        load(folder)
    (folder / "heads.py").write_text(head("3"))
    assert load(folder).predict([("abc", "a")], activation_fn=lambda raw: raw).tolist() == [6.0]
