"""A class that a script defines is written to a file of its own, with just what it needs of the script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from custom_models import LENGTHS, code_in, run_script, scores, types_of, write

pytestmark = pytest.mark.slow

# What a script begins with; every class below is saved by it as the head of a model.
PREAMBLE = f"""
from __future__ import annotations
import functools, json, re, sys
import xml.etree.ElementTree
from collections import defaultdict
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn
from pairchain import CrossEncoder
from pairchain.modules import Module
from doubling import *
import doubling as beside
{LENGTHS}

class Scored(Module):
    # scores the difference of the lengths, changed by a method of the class that is saved
    def forward(self, features, **kwargs):
        features["scores"] = self.change(features["lengths"][:, :1] - features["lengths"][:, 1:])
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""

BESIDE = "FOUR = 4\ndef twice(value):\n    return 2 * value\n"

# A part of the script for each class.
PARTS = {
    "UsesFunctions": '''
def outer(value):
    """It uses another."""
    return inner(value) + 1

def inner(value):
    return value * LATER

class UsesFunctions(Scored):
    def change(self, value):
        return outer(value)

LATER = 3
''',
    "UsesImports": """
class UsesImports(Scored):
    def change(self, value):
        assert re.match("a", "a") and xml.etree.ElementTree.fromstring("<a/>").tag == "a"
        return F.relu(twice(value) + beside.twice(FOUR))
""",
    "UsesSettings": """
@dataclass
class Settings:
    factor: float = 2.0
    names: list[str] = field(default_factory=list)

DEFAULT = Settings(3.0)

class UsesSettings(Scored):
    def change(self, value, settings=DEFAULT):
        return value * settings.factor * len(Settings(names=["a"]).names)
""",
    "UsesDecorators": """
def adding(number):
    def decorate(method):
        @functools.wraps(method)
        def decorated(self, value):
            return method(self, value) + number
        return decorated
    return decorate

def marked(cls):
    cls.mark = 5
    return cls

@marked
class UsesDecorators(Scored):
    @adding(1)
    def change(self, value):
        return value + self.mark
""",
    "HasKinds": """
class HasKinds(Scored):
    table = {name: len(name) for name in ("a", "bb")}

    @property
    def one(self):
        return self.table["a"]

    @staticmethod
    def two():
        return doubled(1)

    @classmethod
    def four(cls):
        return doubled(cls.two())

    @functools.cached_property
    def eight(self):
        return doubled(self.four())

    def change(self, value):
        return value + self.one + self.two() + self.four() + self.eight + self.table["bb"]

@functools.lru_cache
def doubled(number):
    return 2 * number
""",
    "UsesValues": """
PATTERN = re.compile("[a-z]+")
SEEN = {}
COUNTS = defaultdict(int)
WEIGHT = torch.tensor([1.5])
FACTOR = float(sys.argv[2])
WORDS = open(__file__).read().split()[:2]
scaled = lambda value: value * FACTOR
halved = functools.partial(torch.mul, 0.5)

class UsesValues(Scored):
    def change(self, value):
        SEEN[len(SEEN)] = COUNTS["calls"] = PATTERN.findall("a b")
        return halved(scaled(value)) * WEIGHT * len(WORDS)
""",
    "UsesClosure": """
def times(number):
    def multiplied(value):
        return value * number
    return multiplied

thrice = times(3)

class UsesClosure(Scored):
    change = staticmethod(thrice)
""",
    "SharesNames": """
# each is a name in a function below as well, and none of them is what it means there
value, features, model, kwargs = open(__file__), object(), sys.stdout, iter(())

class SharesNames(Scored):
    def change(self, value):
        model = [scores for scores in value]
        return torch.stack(model)
""",
    "UsesABlock": """
try:
    import surely_not_installed
except ImportError:
    surely_not_installed = None
try:
    from surely_not_installed import double
except ImportError:
    from doubling import twice as double

class UsesABlock(Scored):
    def change(self, value):
        return double(value) * 7 if surely_not_installed is None else value
""",
    "IsDefinedTwice": """
class IsDefinedTwice(Scored):
    def change(self, value):
        return value * 1

class IsDefinedTwice(Scored):
    def change(self, value):
        return value * 9
""",
    "KnowsItself": """
class KnowsItself(Scored):
    def change(self, value):
        return Follower().change(value) if type(self) is KnowsItself else value

class Follower(KnowsItself):
    def change(self, value):
        return value * 11
""",
    "HasNoFunction": """
class Changing:
    def change(self, value):
        return value * 13

class HasNoFunction(Changing, Scored):
    config_keys = []
""",
}

SAVE = """
if __name__ == "__main__":
    for name in json.loads(sys.argv[3]):
        model = CrossEncoder(modules=[Lengths(), globals()[name]()], activation_fn=nn.Identity())
        model.predict([("a", "b")])
        scores = model.predict([("berlin", "a city"), ("mars", "a red planet"), ("a", "")])
        model.save_pretrained(f"{sys.argv[1]}/{name}")
        print(json.dumps([name, scores.tolist()]))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[float]]]:
    """The folder that one script saved them all to, and what they score in its process."""
    folder = tmp_path_factory.mktemp("models")
    home = write(tmp_path_factory.mktemp("project"), {"doubling.py": BESIDE})
    script = PREAMBLE + "\n".join(PARTS.values()) + SAVE
    printed = run_script(home, script, folder, "2.5", json.dumps(list(PARTS)))
    return folder, dict(json.loads(line) for line in printed.splitlines())


@pytest.mark.parametrize("name", list(PARTS))
def test_it_loads_without_the_script_and_gives_equal_scores(
    models: tuple[Path, dict[str, list[float]]], name: str
) -> None:
    folder, found = models
    assert len(set(found[name])) > 1
    assert scores(folder / name) == found[name]
    lengths, own = types_of(folder / name)
    assert lengths == "lengths.Lengths"
    assert own.rpartition(".")[2] == name
    assert own.partition(".")[0].replace("_", "") == name.lower()


def test_the_file_holds_nothing_of_the_script_that_the_class_does_not_use(
    models: tuple[Path, dict[str, list[float]]],
) -> None:
    folder, _ = models
    assert code_in(folder / "UsesFunctions") == ["lengths.py", "uses_functions.py"]
    assert (
        (folder / "UsesFunctions" / "uses_functions.py").read_text()
        == '''from __future__ import annotations

from pairchain.modules import Module


class Scored(Module):
    # scores the difference of the lengths, changed by a method of the class that is saved
    def forward(self, features, **kwargs):
        features["scores"] = self.change(features["lengths"][:, :1] - features["lengths"][:, 1:])
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)


class UsesFunctions(Scored):
    def change(self, value):
        return outer(value)


def outer(value):
    """It uses another."""
    return inner(value) + 1


def inner(value):
    return value * LATER


LATER = 3
'''
    )


def test_what_it_imports_from_beside_the_script_is_copied(models: tuple[Path, dict[str, list[float]]]) -> None:
    folder, _ = models
    assert code_in(folder / "UsesImports") == ["doubling.py", "lengths.py", "uses_imports.py"]
    assert (folder / "UsesImports" / "doubling.py").read_text() == BESIDE


def test_values_are_as_the_script_had_them_and_what_it_collected_is_not(
    models: tuple[Path, dict[str, list[float]]],
) -> None:
    folder, _ = models
    code = (folder / "UsesValues" / "uses_values.py").read_text()
    assert "\nFACTOR = 2.5\n" in code
    assert "\nSEEN = {}\n" in code
    assert "sys.argv" not in code
    assert "open(" not in code
