"""A class of a script that cannot stand in a file of its own is refused; where its file goes is decided with care."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from custom_models import LENGTHS, code_in, head, load, run, run_script, save_by_hand, types_of, write

pytestmark = pytest.mark.slow

BESIDE = "FOUR = 4\ndef twice(value):\n    return 2 * value\n"


def refusal(folder: Path, script: str, *command: str) -> str:
    """Return why saving the class ``Head`` of a script was refused."""
    saving = """
try:
    CrossEncoder(modules=[Lengths(), Head()]).save_pretrained("model")
except Exception as error:
    print(type(error).__name__, error)
"""
    text = f"{LENGTHS}\nfrom pairchain import CrossEncoder, Module\n{script}\n{saving}"
    folder.mkdir(exist_ok=True)
    printed = run([*command, text], folder) if command else run_script(folder, text)
    assert not (folder / "model").exists()
    return printed


HEAD = """
class Head(Module):
    def forward(self, features, **kwargs):
        features["scores"] = features["lengths"][:, :1] * {times}
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""


def test_a_class_named_like_what_it_imports_gets_a_file_of_another_name(tmp_path: Path) -> None:
    before = "from doubling import twice\n"
    code = before + HEAD.format(times="twice(1)").replace("Head", "Doubling") + "Head = Doubling\n"
    script = f"{LENGTHS}\nfrom pairchain import CrossEncoder, Module\n{code}\n"
    script += 'CrossEncoder(modules=[Lengths(), Head()]).save_pretrained("model")'
    run_script(write(tmp_path, {"doubling.py": BESIDE}), script)
    assert types_of(tmp_path / "model")[1] == "doubling_module.Doubling"
    assert load(tmp_path / "model").predict([("ab", "")], activation_fn=lambda raw: raw).tolist() == [4.0]


def test_run_as_a_module_of_a_package_it_is_saved_with_what_it_imports(tmp_path: Path) -> None:
    files = {
        "package/__init__.py": "",
        "package/doubling.py": BESIDE,
        "package/train.py": f"{LENGTHS}\nfrom pairchain import CrossEncoder, Module\nfrom .doubling import twice\n"
        + HEAD.format(times="twice(1)")
        + 'CrossEncoder(modules=[Lengths(), Head()]).save_pretrained("model")',
    }
    run(["-m", "package.train"], write(tmp_path, files))
    assert code_in(tmp_path / "model") == ["head.py", "lengths.py", "package/__init__.py", "package/doubling.py"]
    assert load(tmp_path / "model").predict([("ab", "")], activation_fn=lambda raw: raw).tolist() == [4.0]


# -- refused --


# Python 3.13 and later remember the text of a command.
@pytest.mark.parametrize("command", [(), ("-c",)] if sys.version_info < (3, 13) else [()])
def test_without_a_source_it_is_refused_with_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    printed = refusal(tmp_path, f"exec({HEAD.format(times=1)!r})", *command)
    assert re.match("FormatError no statement .* defines '(Head|Lengths)'", printed)
    assert "write the class to a .py file, import it" in printed


def test_a_class_inside_a_function_is_refused_with_what_to_do(tmp_path: Path) -> None:
    code = HEAD.format(times=1).replace("\n", "\n    ")
    printed = refusal(tmp_path, f"def make():\n    {code}\n    return Head\nHead = make()\n")
    assert re.match("FormatError make.<locals>.Head cannot be copied .* defined inside a function", printed)
    assert "write the class to a .py file, import it" in printed


def test_a_class_inside_a_block_is_refused_with_what_to_do(tmp_path: Path) -> None:
    code = HEAD.format(times=1).replace("\n", "\n    ")
    printed = refusal(tmp_path, f"if True:\n    {code}\n")
    assert re.match("FormatError no statement at the left margin .* defines 'Head'", printed)
    assert "write the class to a .py file, import it" in printed


def test_a_value_that_no_source_can_stand_for_is_named(tmp_path: Path) -> None:
    printed = refusal(
        tmp_path,
        f"with open(__file__) as text:\n    LINES = list(text)\n{HEAD.format(times='len(text.name)')}",
    )
    assert re.match("FormatError no statement .* defines 'text', a TextIOWrapper that Head uses", printed)


def test_values_that_are_too_large_for_code_are_refused(tmp_path: Path) -> None:
    printed = refusal(tmp_path, f"TABLE = {'a' * 2**20!r}\n{HEAD.format(times='len(TABLE)')}")
    assert "the code of Head, with the script's values that it uses, has more than 1,048,576 bytes" in printed
    assert "let its save and load write and read them" in printed


def test_a_class_made_from_one_that_came_with_a_model_is_refused(tmp_path: Path) -> None:
    files = {"heads.py": head(name="Changing")}
    model = save_by_hand(tmp_path / "theirs", ["lengths.Lengths", "heads.Changing"], files)
    loading = f"model = CrossEncoder({str(model)!r}, trust_remote_code=True)\nBase = type(model[1])\n"
    printed = refusal(tmp_path / "mine", f"{loading}class Head(Base):\n    mine = True")
    assert "the script uses Changing, which came with a model" in printed
    assert "copy the file that defines it beside the script" in printed
