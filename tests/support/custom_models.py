"""Models that bring code of their own: written by hand, or built and saved by a script in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

from warm import warm_python

from pairchain import CrossEncoder

PAIRS = [("berlin", "a city"), ("mars", "a red planet"), ("a", "")]
# How many letters more the first text of each has.
DIFFERENCES = [0.0, -8.0, 1.0]

# An input module without a transformer.
LENGTHS = """
import torch
from pairchain import InputModule


class Lengths(InputModule):
    def preprocess(self, inputs, prompt=None, **kwargs):
        return {"lengths": torch.tensor([[len(first), len(second)] for first, second in inputs]).float()}

    def forward(self, features, **kwargs):
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""


def head(times: str = "1", *, before: str = "", name: str = "Head", base: str = "Module") -> str:
    """Return the code of a file that defines a head: how many letters more the first text has, times ``times``.

    Args:
        times: A Python expression.
        before: Lines before the class, such as imports.
        name: The class's name.
        base: What it derives from.
    """
    return f"""from pairchain import Module
{dedent(before)}

class {name}({base}):
    def forward(self, features, **kwargs):
        features["scores"] = (features["lengths"][:, :1] - features["lengths"][:, 1:]) * {times}
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` below ``folder``, and return it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def save_by_hand(folder: Path, types: Sequence[str], files: Mapping[str, str], **last_entry: Any) -> Path:
    """Write a model of modules of these types with ``files`` beside it, and return its folder.

    Args:
        folder: Where to; made if it is not there.
        types: The modules' types.
        files: Code by path; ``lengths.py``, which defines `LENGTHS`, is there anyway.
        **last_entry: More keys of the last module's entry in ``modules.json``.
    """
    entries: list[dict[str, Any]] = [
        {"idx": index, "name": str(index), "path": "" if not index else f"{index}_Part", "type": name}
        for index, name in enumerate(types)
    ]
    entries[-1].update(last_entry)
    settings = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}
    written = {"modules.json": json.dumps(entries), "config_sentence_transformers.json": json.dumps(settings)}
    return write(folder, {"lengths.py": LENGTHS, **files, **written})


def types_of(folder: Path) -> list[str]:
    """Return the types that the saved model in ``folder`` names."""
    return [entry["type"] for entry in json.loads((folder / "modules.json").read_text())]


def code_in(folder: Path) -> list[str]:
    """Return the files of code in ``folder``, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))


def load(name: str | Path, **options: Any) -> CrossEncoder:
    """Return the model, on the CPU, with its code allowed to run unless ``trust_remote_code`` says otherwise."""
    return CrossEncoder(name, **{"device": "cpu", "trust_remote_code": True, **options})


def scores(name: str | Path, **options: Any) -> list[float]:
    """Return what the model scores `PAIRS`."""
    values: list[float] = load(name, **options).predict(PAIRS).tolist()
    return values


def run_script(folder: Path, text: str, *arguments: str | Path, name: str = "script.py", **environ: str) -> str:
    """Run ``text`` as a script that lies in ``folder``, from there, and return what it prints."""
    write(folder, {name: dedent(text)})
    return run([str(folder / name), *map(str, arguments)], folder, **environ)


def run(arguments: Sequence[str], folder: Path, *, is_new: bool = False, **environ: str) -> str:
    """Run Python with ``arguments`` in ``folder``, and return what it prints; a warning of pairchain's fails.

    Args:
        arguments: Of the command line.
        folder: Where it runs.
        is_new: Start a new Python, in which not even torch is imported.
        **environ: Variables of its environment.
    """
    python = [sys.executable] if is_new else warm_python()
    done = subprocess.run(
        [*python, *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "PairchainWarning" not in done.stderr, done.stderr
    return done.stdout.strip()


# A checkpoint's code in the shape of a published reranker's: it scores in a `predict` of its own.
SCORER = """
from {library} import CrossEncoder as _CrossEncoder
from transformers import Qwen3Config


def predict(self, sentences, **kwargs):
    return [0.5 for sentence in sentences]


def to(self, *args, **kwargs):
    return self


_CrossEncoder.predict = predict
_CrossEncoder.to = to


class ScorerConfig(Qwen3Config):
    pass
"""
