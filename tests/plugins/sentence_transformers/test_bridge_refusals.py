"""What the bridge does not load, and what it says: the library is missing or broken, or a path names no module."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bridge_models import PAIRS, load, without_library
from plugin_folders import run_python
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import FormatError, TrustRequiredError, UnknownTypeError

GOLDEN = Path(__file__).parents[2] / "golden"
# each type is a class of that library's module packages
MODULE_TYPES = [
    "sentence_transformers.models.CNN",
    "sentence_transformers.models.CNN.CNN",
    "sentence_transformers.sentence_transformer.modules.cnn.CNN",
    "sentence_transformers.models.WeightedLayerPooling",
    "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
    "sentence_transformers.sparse_encoder.models.SpladePooling.SpladePooling",
    "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
    "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
]
# functions, other classes, what the library imports, modules of other packages, and nothing at all
NO_MODULE_TYPES = [
    "sentence_transformers.util.http_get",
    "sentence_transformers.util.misc.import_from_string",
    "sentence_transformers.util.Dropout",
    "sentence_transformers.SentenceTransformer",
    "sentence_transformers.CrossEncoder",
    "sentence_transformers.cross_encoder.model.CrossEncoder",
    "sentence_transformers.models.torch.nn.Identity",
    "sentence_transformers.models.nn",
    "sentence_transformers.models.annotations",
    "sentence_transformers.models.tokenizer.WhitespaceTokenizer",
    "sentence_transformers.sentence_transformer.modules.pooling",
    "sentence_transformers.models.Nothing",
    "sentence_transformers.os.system",
    "sentence_transformers.",
    "sentence_transformers_of_others.models.CNN",
]


def write_type(model: Path, type_name: str, index: int = 2) -> Path:
    """Return ``model`` after giving one of its modules another type."""
    entries = json.loads((model / "modules.json").read_text())
    entries[index]["type"] = type_name
    (model / "modules.json").write_text(json.dumps(entries))
    return model


@pytest.mark.slow
def test_a_type_that_needs_the_library_says_so_where_it_is_not_installed(pooled: Path, tmp_path: Path) -> None:
    code = f"""
    import json, sys
    from pathlib import Path
    import pairchain

    file = Path({str(pooled)!r}, "modules.json")
    found = []
    for name in {MODULE_TYPES}:
        entries = json.loads(file.read_text())
        entries[2]["type"] = name
        file.write_text(json.dumps(entries))
        try:
            pairchain.CrossEncoder(file.parent, device="cpu")
        except pairchain.errors.UnknownTypeError as error:
            found.append(str(error))
    print(json.dumps(found))
    """

    found = json.loads(run_python(code, without_library(tmp_path / "site")))

    assert len(found) == len(MODULE_TYPES)
    for name, text in zip(MODULE_TYPES, found, strict=True):
        assert f"the type {name!r} belongs to sentence-transformers" in text
        assert "which is not installed" in text
        assert "pip install sentence-transformers" in text


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", NO_MODULE_TYPES)
def test_a_path_that_names_no_module_class_is_refused(name: str, trust: bool, pooled: Path) -> None:
    with pytest.raises((UnknownTypeError, FormatError)) as caught:
        CrossEncoder(write_type(pooled, name), device="cpu", trust_remote_code=trust)

    assert repr(name) in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["sentence_transformers.models.Module", "sentence_transformers.models.InputModule"])
def test_the_base_classes_are_no_types_of_a_saved_module(name: str, pooled: Path) -> None:
    with pytest.raises((UnknownTypeError, FormatError), match=name.rpartition(".")[2]):
        CrossEncoder(write_type(pooled, name), device="cpu")


@pytest.mark.slow
def test_a_library_that_cannot_be_imported_is_named(pooled: Path, tmp_path: Path) -> None:
    package = tmp_path / "site" / "sentence_transformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('needs another transformers')")
    write_type(pooled, "sentence_transformers.models.CNN")
    code = f"""
    import pairchain
    try:
        pairchain.CrossEncoder({str(pooled)!r}, device="cpu")
    except pairchain.errors.PluginError as error:
        print(error)
    """

    printed = run_python(code, tmp_path / "site")

    assert "sentence-transformers is installed but cannot be imported" in printed
    assert "RuntimeError: needs another transformers" in printed
    assert "pip install --force-reinstall sentence-transformers" in printed


@pytest.mark.slow
def test_a_standard_module_never_needs_the_library(tmp_path: Path) -> None:
    # every case of the golden models but those with code: their types are all of that library
    cases = sorted(path.parent.name for path in GOLDEN.glob("*/golden.json") if "custom" not in path.parent.name)
    cases = [case for case in cases if json.loads((GOLDEN / case / "golden.json").read_text())["requires"] == []]
    code = f"""
    import json
    from pathlib import Path
    from pairchain.trust.resolve import Resolver
    from pairchain.format.saved_model import read_entries
    from pairchain.files.source import Source

    types = set()
    for case in {cases}:
        source = Source(str(Path({str(GOLDEN)!r}, case, "model")))
        for entry in read_entries(source) or ():
            types.add((entry.type, Resolver(source).resolve(entry.type).__module__.partition("_")[0]))
    print(json.dumps(sorted(types)))
    """

    types = dict(json.loads(run_python(code, without_library(tmp_path))))

    assert {name.rpartition(".")[2] for name in types} >= {"Transformer", "Pooling", "Dense", "LogitScore", "Router"}
    assert set(types.values()) == {"pairchain"}


@pytest.mark.peer
def test_code_may_build_on_classes_that_only_the_library_has(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder as Theirs
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import LSTM, Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    torch.manual_seed(0)
    words = WhitespaceTokenizer("how many people live in berlin population a man is eating mars".split(), stop_words=[])
    modules = [
        WordEmbeddings(words, torch.randn(12, 8)),
        LSTM(8, 4),
        Pooling(8, "mean"),
        Dense(8, 1, activation_function=None, module_output_name="scores"),
    ]
    Theirs(modules=modules, activation_fn=nn.Identity()).save_pretrained(str(tmp_path), create_model_card=False)
    (tmp_path / "joined.py").write_text(
        "from sentence_transformers.models import WordEmbeddings\n\n"
        "class Joined(WordEmbeddings):\n"
        "    def preprocess(self, inputs, prompt=None, **kwargs):\n"
        "        return super().preprocess([f'{query} {document}' for query, document in inputs])\n"
    )
    write_type(tmp_path, "joined.Joined", index=0)
    expected = Theirs(str(tmp_path), device="cpu", trust_remote_code=True).predict(PAIRS)

    model = load(tmp_path)
    model.save_pretrained(tmp_path / "again")

    np.testing.assert_allclose(model.predict(PAIRS), expected, atol=2e-5)
    np.testing.assert_allclose(load(tmp_path / "again").predict(PAIRS), expected, atol=2e-5)


@pytest.mark.peer
def test_a_path_inside_a_module_of_the_library_is_not_followed_without_trust(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = WordEmbeddings(WhitespaceTokenizer(["a"]), torch.randn(1, 8))
    SentenceTransformer(modules=[words, Pooling(8)]).save(str(tmp_path), create_model_card=False)
    shutil.copytree(GOLDEN / "pooling_mean" / "model" / "2_Dense", tmp_path / "2_Dense")
    entries = json.loads((tmp_path / "modules.json").read_text())
    canary = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w').close()\nclass Tokenizer: pass\n")
    config = tmp_path / entries[0]["path"] / "wordembedding_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "tokenizer_class": "evil.Tokenizer"}))

    for approvals in (False, ["sha256:" + "0" * 64]):
        with pytest.raises(TrustRequiredError, match=r"evil\.py"):
            CrossEncoder(tmp_path, device="cpu", trust_remote_code=approvals)
    assert not canary.exists()
