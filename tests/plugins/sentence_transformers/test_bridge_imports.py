"""What code that came with a model finds under ``sentence_transformers``, and that nobody else finds it there."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from bridge_models import PAIRS, load, scores, without_library, write_head
from plugin_folders import run_python

TESTS = Path(__file__).parents[2]
LIBRARY = find_spec("sentence_transformers") is not None
# each gives the file a `Module`
STATEMENTS = [
    "from sentence_transformers.base.modules import Module",
    "from sentence_transformers.base.modules.module import Module",
    "from sentence_transformers.cross_encoder.modules import Module",
    "from sentence_transformers.sentence_transformer.modules import Module",
    "from sentence_transformers.sparse_encoder.modules import Module",
    "from sentence_transformers.sparse_encoder.models import Module",
    "from sentence_transformers.models import Module",
    "from sentence_transformers.models.Module import Module",
    "from sentence_transformers import models; Module = models.Module",
    "from sentence_transformers.base import modules; Module = modules.Module",
    "from sentence_transformers.base.modules import module; Module = module.Module",
    "import sentence_transformers.models; Module = sentence_transformers.models.Module",
    "import sentence_transformers.models as m; Module = m.Module",
    "import sentence_transformers.base.modules.module as m; Module = m.Module",
    "import sentence_transformers as st, sentence_transformers.cross_encoder.modules; "
    "Module = st.cross_encoder.modules.Module",
    "from sentence_transformers.models import *",
    "from sentence_transformers.cross_encoder.modules import *",
    "from sentence_transformers import CrossEncoder; from sentence_transformers.models import Module",
    "from sentence_transformers.cross_encoder import CrossEncoder; from sentence_transformers.models import Module",
    "from sentence_transformers.models import Dense, InputModule, LayerNorm, Module, Normalize, Pooling, Transformer",
    "from sentence_transformers.cross_encoder.modules import Dense, LogitScore, Module, Router, Transformer",
    "from sentence_transformers.models.Dense import Dense; from sentence_transformers.models import Module; "
    "assert issubclass(Dense, Module)",
    "from sentence_transformers.models import Asym, InputModule, Module, Router; assert issubclass(Asym, InputModule)",
    "from sentence_transformers.models.Asym import Asym; from sentence_transformers.base.modules.router import Router; "
    "from sentence_transformers.models import Module; assert issubclass(Asym, Router)",
    "from sentence_transformers.sentence_transformer.modules.pooling import Pooling; "
    "from sentence_transformers.cross_encoder.modules.logit_score import LogitScore; "
    "from sentence_transformers.base.modules.input_module import InputModule as Module; "
    "assert not issubclass(LogitScore, Module)",
    "try:\n    from sentence_transformers.to_come.modules import Module\n"
    "except ImportError:\n    from sentence_transformers.models import Module",
    "try:\n    from sentence_transformers.base.modules import ToCome as Module\n"
    "except ImportError:\n    from sentence_transformers.models import Module",
    "import sentence_transformers.models as m; Module = getattr(m, 'ToCome', m.Module); assert not hasattr(m, 'Gone')",
]
EVERY = f"""
import json, sys, tempfile
from pathlib import Path
from bridge_models import load, scores, write_head

found = []
for number, statement in enumerate({STATEMENTS}):
    with tempfile.TemporaryDirectory() as folder:
        found.append(scores(load(write_head(Path(folder), statement))))
print(json.dumps(found))
"""
# An ordinary module, which custom code calls while it is loaded.
WATCHER = """
import importlib, importlib.util, sys

seen = {}

def look(when):
    attempts = [
        lambda: __import__("sentence_transformers"),
        lambda: importlib.import_module("sentence_transformers.models"),
        lambda: exec("from sentence_transformers.models import Module", {}),
    ]
    found = [name for name in sys.modules if name.partition(".")[0] == "sentence_transformers"]
    if importlib.util.find_spec("sentence_transformers") is not None:
        found.append("a spec")
    for attempt in attempts:
        try:
            attempt()
        except ModuleNotFoundError as error:
            assert error.name == "sentence_transformers", error
        else:
            found.append("an import")
    seen[when] = found
"""


def expected() -> list[float]:
    """Return what a `Head` scores: the sum of the embedding."""
    model = load(TESTS / "golden" / "pooling_mean" / "model")
    features = model[1](model[0](model.preprocess(PAIRS)))
    values: list[float] = features["sentence_embedding"].sum(1).tolist()
    return values


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Importing from:DeprecationWarning")
@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_way_to_import_a_module_class_gives_it(statement: str, tmp_path: Path) -> None:
    model = load(write_head(tmp_path, statement))

    np.testing.assert_allclose(scores(model), expected(), atol=2e-5)
    home = type(model[2]).__mro__[1].__module__
    assert home.partition(".")[0] == ("sentence_transformers" if LIBRARY else "pairchain")


@pytest.mark.slow
def test_every_way_works_without_the_library_too(tmp_path: Path) -> None:
    found = json.loads(run_python(EVERY, without_library(tmp_path), TESTS / "support"))

    assert len(found) == len(STATEMENTS)
    for values in found:
        np.testing.assert_allclose(values, expected(), atol=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Importing from:DeprecationWarning")
def test_an_import_inside_a_function_that_runs_later_finds_the_same_class(tmp_path: Path) -> None:
    statements = """
    import threading
    from sentence_transformers.cross_encoder.modules import Module as Base

    class Module(Base):
        def __call__(self, features, **kwargs):
            found = []

            def later():
                from sentence_transformers.models import Dense, Module
                import sentence_transformers.base.modules.module as module
                found.extend([Module is Base, module.Module is Base, issubclass(Dense, Base)])

            thread = threading.Thread(target=later)
            thread.start()
            thread.join()
            later()
            assert found == [True] * 6, found
            return super().__call__(features, **kwargs)
    """
    model = write_head(tmp_path, statements)
    code = f"""
    from pathlib import Path
    from bridge_models import load, scores
    print(scores(load(Path({str(model)!r}))))
    """

    np.testing.assert_allclose(scores(load(model)), expected(), atol=2e-5)
    without = json.loads(run_python(code, without_library(tmp_path / "site"), TESTS / "support"))
    np.testing.assert_allclose(without, expected(), atol=2e-5)


@pytest.mark.slow
def test_what_stands_in_for_the_library_is_seen_by_that_code_alone(tmp_path: Path) -> None:
    statements = """
    import threading
    import sentence_transformers.models
    from sentence_transformers.models import Module as Base
    import watcher

    watcher.look("while the file runs")
    thread = threading.Thread(target=watcher.look, args=["in a thread of the file"])
    thread.start()
    thread.join()

    class Module(Base):
        def __call__(self, features, **kwargs):
            watcher.look("while it scores")
            return super().__call__(features, **kwargs)
    """
    model = write_head(tmp_path, statements)
    site = without_library(tmp_path / "site")
    (site / "watcher.py").write_text(WATCHER)
    code = f"""
    import json, threading
    from pathlib import Path
    import watcher
    from bridge_models import load, scores

    watcher.look("before")
    scores(load(Path({str(model)!r})))
    watcher.look("after")
    thread = threading.Thread(target=watcher.look, args=["in a thread of ours"])
    thread.start()
    thread.join()
    print(json.dumps(watcher.seen))
    """

    seen = json.loads(run_python(code, site, TESTS / "support"))

    moments = ["before", "while the file runs", "in a thread of the file", "while it scores", "after"]
    assert seen == {when: [] for when in [*moments, "in a thread of ours"]}


# statement → the error's type, and what its text names
NOTHING_STANDS_IN = {
    "from sentence_transformers.models import CNN": ("ImportError", "'CNN'"),
    "from sentence_transformers import SentenceTransformer": ("ImportError", "'SentenceTransformer'"),
    "from sentence_transformers.util import fullname": ("ModuleNotFoundError", "'sentence_transformers.util'"),
    "import sentence_transformers.losses": ("ModuleNotFoundError", "'sentence_transformers.losses'"),
    "import sentence_transformers; sentence_transformers.util": ("AttributeError", "'util'"),
    "import sentence_transformers; sentence_transformers.__version__": ("AttributeError", "'__version__'"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a process without the library says of each statement: the error's type, its text, and notes."""
    code = f"""
    import json, tempfile
    from pathlib import Path
    from bridge_models import load, write_head

    found = {{}}
    for statement in {list(NOTHING_STANDS_IN)}:
        with tempfile.TemporaryDirectory() as folder:
            try:
                load(write_head(Path(folder), statement))
            except Exception as error:
                found[statement] = [type(error).__name__, str(error), *error.__notes__]
    print(json.dumps(found))
    """
    found: dict[str, list[str]] = json.loads(
        run_python(code, without_library(tmp_path_factory.mktemp("site")), TESTS / "support")
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("statement", NOTHING_STANDS_IN)
def test_what_nothing_stands_in_for_says_so(statement: str, refusals: dict[str, list[str]]) -> None:
    error, text, *notes = refusals[statement]

    expected_error, named = NOTHING_STANDS_IN[statement]
    assert error == expected_error
    assert named in text
    assert "sentence-transformers is not installed, and pairchain has substitutes for its module classes only" in text
    assert "Transformer, Dense, Router" in text
    assert text.endswith("pip install sentence-transformers")
    assert any("head.py" in note for note in notes)


@pytest.mark.peer
def test_code_gets_the_same_classes_as_everybody_where_the_library_is(tmp_path: Path) -> None:
    from sentence_transformers.base.modules import Module

    model = load(write_head(tmp_path, "from sentence_transformers.base.modules.module import Module"))

    assert type(model[2]).__mro__[1] is Module
    assert sys.modules["sentence_transformers.base.modules.module"].Module is Module
