"""A class that a notebook defines is written to a file from the cells, whichever of them hold what it needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from custom_models import LENGTHS, PAIRS, code_in, load, run_script, types_of, write

pytestmark = pytest.mark.slow

# What a Jupyter kernel does with cells: it remembers the text of each in two places, and has no file.
KERNEL = """
import codeop, json, linecache, sys, types

main = sys.modules["__main__"] = types.ModuleType("__main__")
main.In = [""]
compiled = codeop.Compile()
for number, cell in enumerate(json.loads(sys.argv[1]), 1):
    name = f"/tmp/ipykernel_1/{number}.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
    main.In.append(cell)
    exec(compiled(cell, name, "exec"), vars(main))
"""

HEAD = """
class Head(Module):
    # {note}
    def forward(self, features, **kwargs):
        features["scores"] = {score}
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""

SAVE = """
model = CrossEncoder(modules=[Lengths(), Head()], activation_fn=torch.nn.Identity())
scores = model.predict(json.loads({pairs!r})).tolist()
model.save_pretrained("model")
print(json.dumps(scores))
"""


def run_cells(folder: Path, cells: Sequence[str]) -> list[float]:
    """Run the cells, then one that saves a model that ends in ``Head``; return its scores."""
    imports = "import json\nfrom pairchain import CrossEncoder, Module"
    cells = [LENGTHS, imports, *cells, SAVE.format(pairs=json.dumps(PAIRS))]
    scores: list[float] = json.loads(run_script(folder, KERNEL, json.dumps(cells)))
    return scores


def test_a_class_that_was_defined_again_after_the_model_was_built_is_refused(tmp_path: Path) -> None:
    cells = [
        HEAD.format(note="in the model", score='features["lengths"][:, :1]'),
        "head = Head()",
        HEAD.format(note="not in it", score='features["lengths"][:, 1:]'),
        """
try:
    CrossEncoder(modules=[Lengths(), head]).save_pretrained("model")
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
""",
    ]
    cells = [LENGTHS, "import json\nfrom pairchain import CrossEncoder, Module", *cells]
    kind, text = json.loads(run_script(tmp_path, KERNEL, json.dumps(cells)))
    assert kind == "FormatError"
    assert "Head cannot be copied out of this script or notebook" in text
    assert "build the model again" in text
    assert not (tmp_path / "model").exists()


def loaded(model: Path) -> list[float]:
    scores: list[float] = load(model).predict(PAIRS).tolist()
    return scores


def test_what_a_class_needs_is_found_in_the_cells(tmp_path: Path) -> None:
    cells = [
        "from __future__ import annotations\nimport re\nfrom doubling import twice",
        "PATTERN = re.compile('[a-z]+')\nWEIGHT = torch.tensor([[2.0]])",
        "def letters(text: NotThere) -> int:\n    return len(PATTERN.findall(text))",
        HEAD.format(note="what it does", score='twice(features["lengths"][:, :1]) * WEIGHT + letters("a b c")'),
    ]
    scores = run_cells(write(tmp_path, {"doubling.py": "def twice(value):\n    return 2 * value\n"}), cells)
    assert scores == [4.0 * len(first) + 3 for first, _ in PAIRS]
    assert types_of(tmp_path / "model") == ["lengths.Lengths", "head.Head"]
    assert code_in(tmp_path / "model") == ["doubling.py", "head.py", "lengths.py"]
    assert loaded(tmp_path / "model") == scores


def test_the_cell_that_ran_last_counts(tmp_path: Path) -> None:
    cells = [
        HEAD.format(note="the first try", score='features["lengths"][:, :1]'),
        "WEIGHT = torch.tensor([[2.0]])",
        HEAD.format(note="the second", score='features["lengths"][:, 1:] * WEIGHT'),
        "WEIGHT = torch.tensor([[3.0]])",
    ]
    scores = run_cells(tmp_path, cells)
    assert scores == [3.0 * len(second) for _, second in PAIRS]
    assert "the second" in (tmp_path / "model" / "head.py").read_text()
    assert loaded(tmp_path / "model") == scores
