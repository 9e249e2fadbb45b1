"""Classes of sentence-transformers import what a model's files name by its path; while a model loads, they do not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from traps import PAIRS, Canary, router, with_types, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, PairchainError, PickleRefusedError, TrustRequiredError

# older paths of it, which files that came with a model name, work and are deprecated there
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore:Importing from:DeprecationWarning")]

CUSTOM = "from sentence_transformers.models import {base}\nclass Custom({base}):\n    pass\n"
HARMLESS = "from transformers import BertConfig\nclass Settings(BertConfig):\n    model_type = 'harmless'\n"
JOINING = """
    def preprocess(self, inputs, **kwargs):
        return super().preprocess([" ".join(pair) for pair in inputs])
"""
LOST = "sentence_transformers.multi_vector_encoder.modules.Dense"


def edit(folder: Path, file: str, **values: Any) -> None:
    write(folder, {file: json.dumps({**json.loads((folder / file).read_text()), **values})})


def in_a_router(folder: Path, path: str) -> None:
    """Let a Router that is written in code beside the model, on that library's, name a class."""
    router(folder, {"query_0": path})
    with_types(folder, "custom.Custom")
    write(folder, {"custom.py": CUSTOM.format(base="Router"), "query_0/config.json": "{}"})


def in_a_dense(folder: Path, path: str) -> None:
    """Likewise a Dense, whose activation has a path."""
    with_types(folder, "Transformer", "Pooling", "custom.Custom")
    write(folder, {"custom.py": CUSTOM.format(base="Dense")})
    edit(folder, "2_Dense/config.json", activation_function=path)


def in_word_embeddings(folder: Path, path: str, type_name: str = "custom.Custom") -> None:
    """Likewise WordEmbeddings, whose tokenizer has a path."""
    from sentence_transformers.sentence_transformer.modules import WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = ["people", "berlin", "population", "yes"]
    (folder / "words").mkdir()
    WordEmbeddings(WhitespaceTokenizer(words, stop_words=[]), torch.ones(4, 32)).save(str(folder / "words"))
    entries = json.loads((folder / "modules.json").read_text())
    entries[0].update(path="words", type=type_name)
    write(folder, {"custom.py": CUSTOM.format(base="WordEmbeddings") + JOINING, "modules.json": json.dumps(entries)})
    edit(folder, "words/wordembedding_config.json", tokenizer_class=path)


PLACES = {"in_a_router": ".", "in_a_dense": "2_Dense", "in_word_embeddings": "words"}
by_each = pytest.mark.parametrize("name", [in_a_router, in_a_dense, in_word_embeddings])


def approvals(folder: Path, *files: str) -> list[str]:
    """Return what allows just the code of these files."""
    found = pairchain.inspect(folder).code.values()
    return [f"sha256:{code.digest}" for code in found if {file.path for file in code.files} <= set(files)]


@by_each
@pytest.mark.parametrize(
    "path", ["lurking.Head", "os.system", "torch.nn.Linear", "sentence_transformers.util.http_get"]
)
def test_what_is_installed_is_not_imported_for_being_named_whatever_is_trusted(
    path: str,
    name: Callable[[Path, str], None],
    pooled: Path,
    canary: Canary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(write(tmp_path / "site", {"lurking.py": canary.head()}))
    name(pooled, path)
    # whoever allows this code too has the library told to trust the model
    place = PLACES[name.__name__]
    write(pooled, {"harmless.py": HARMLESS})
    if not (pooled / place / "config.json").exists():
        write(pooled, {f"{place}/config.json": "{}"})
    edit(pooled, f"{place}/config.json", auto_map={"AutoConfig": "harmless.Settings"})
    known = approvals(pooled, "custom.py", "harmless.py")
    assert len(known) == 2

    for trusted in (known, True):
        with pytest.raises(PairchainError, match=path):
            CrossEncoder(pooled, device="cpu", trust_remote_code=trusted)
    assert not canary.sang
    assert "lurking" not in sys.modules


@by_each
def test_code_that_is_named_there_is_asked_for_as_any_other(
    name: Callable[[Path, str], None], pooled: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(pooled)
    write(pooled, {"evil.py": canary.head()})
    name(pooled, "evil.Head")
    known = approvals(pooled, "custom.py")
    if name is in_a_dense:
        # untrusted, that library leaves such an activation out by itself
        CrossEncoder(pooled, device="cpu", trust_remote_code=known)
    else:
        with pytest.raises(TrustRequiredError, match=r"evil\.py"):
            CrossEncoder(pooled, device="cpu", trust_remote_code=known)
    assert not canary.sang


def test_what_is_allowed_of_it_runs(pooled: Path, canary: Canary) -> None:
    tokenizer = "from sentence_transformers.models.tokenizer import WhitespaceTokenizer\n"
    write(pooled, {"words.py": f"{canary.code}{tokenizer}class Words(WhitespaceTokenizer):\n    pass\n"})
    in_word_embeddings(pooled, "words.Words")
    known = approvals(pooled, "custom.py")
    with pytest.raises(TrustRequiredError) as refused:
        CrossEncoder(pooled, device="cpu", trust_remote_code=known)
    assert not canary.sang

    model = CrossEncoder(pooled, device="cpu", trust_remote_code=[*known, *refused.value.approvals])

    assert model.predict(PAIRS).shape == (2,)
    assert canary.sang


def test_a_tokenizer_of_the_library_is_no_module_of_it(pooled: Path) -> None:
    in_word_embeddings(
        pooled,
        "sentence_transformers.base.modules.transformer.Transformer",
        "sentence_transformers.models.WordEmbeddings",
    )
    for trusted in (False, True):
        with pytest.raises(FormatError, match="which is not a WordTokenizer"):
            CrossEncoder(pooled, device="cpu", trust_remote_code=trusted)


@pytest.mark.parametrize("path", ["torch.seed", "os.getpid", "lurking.Head", "torch.nn.Linear"])
def test_an_activation_is_from_the_table_for_a_class_of_the_library_too(
    path: str, pooled: Path, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write(tmp_path / "site", {"lurking.py": canary.head()}))
    with_types(pooled, "Transformer", "Pooling", LOST)
    expected = CrossEncoder(pooled, device="cpu", trust_remote_code=True).predict(PAIRS)
    edit(pooled, "2_Dense/config.json", activation_function="torch.nn.modules.activation.Tanh")
    assert CrossEncoder(pooled, device="cpu", trust_remote_code=True).predict(PAIRS).tolist() != expected.tolist()
    edit(pooled, "2_Dense/config.json", activation_function=path)
    seed = torch.initial_seed()

    with pytest.raises(PairchainError, match=path):
        CrossEncoder(pooled, device="cpu", trust_remote_code=True)
    assert torch.initial_seed() == seed
    assert not canary.sang


def test_what_trusted_code_asks_for_by_itself_it_gets(pooled: Path) -> None:
    code = CUSTOM.format(base="Dense").replace(
        "pass", "from sentence_transformers.util import import_from_string as get"
    )
    load = "\n    @classmethod\n    def load(cls, *args, **kwargs):\n        module = super().load(*args, **kwargs)\n"
    write(
        pooled,
        {"custom.py": f"{code}{load}        module.found = cls.get('fractions.Fraction')\n        return module\n"},
    )
    with_types(pooled, "Transformer", "Pooling", "custom.Custom")

    model = CrossEncoder(pooled, device="cpu", trust_remote_code=True)

    assert model[2].found(1, 2) == 0.5


def test_the_library_is_as_it_was_after_a_load(pooled: Path) -> None:
    from sentence_transformers import util
    from sentence_transformers.base.modules import dense

    in_a_dense(pooled, "torch.nn.Linear")
    before = (util.import_from_string, util.misc.import_from_string, util.import_module_class)
    with pytest.raises(PairchainError):
        CrossEncoder(pooled, device="cpu", trust_remote_code=True)

    assert (util.import_from_string, util.misc.import_from_string, util.import_module_class) == before
    assert dense.import_from_string is before[0]
    assert util.import_from_string("fractions.Fraction")(1, 2) == 0.5


def test_settings_do_not_choose_how_a_pickle_is_read_for_trusted_code(classifier: Path, canary: Canary) -> None:
    weights = load_file(classifier / "model.safetensors")
    (classifier / "model.safetensors").unlink()
    with_types(classifier, "custom.Custom")
    write(
        classifier,
        {"custom.py": CUSTOM.format(base="Transformer"), "pytorch_model.bin": canary.state_dict(weights)},
    )
    edit(classifier, "sentence_bert_config.json", model_kwargs={"weights_only": False})

    with pytest.raises(PickleRefusedError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    with pytest.raises(Exception, match=r"[Uu]npickl|weights_only"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True, allow_pickle=True)
    assert not canary.sang


def test_trusted_code_that_reads_a_pickle_itself_says_how(pooled: Path, canary: Canary) -> None:
    code = CUSTOM.format(base="Dense").replace("    pass", "    import torch")
    load = "\n    @classmethod\n    def load(cls, path, **kwargs):\n"
    read = "        cls.torch.load(f'{path}/own.pt', weights_only=False)\n        return super().load(path, **kwargs)\n"
    write(pooled, {"custom.py": code + load + read, "own.pt": canary.pickle()})
    with_types(pooled, "Transformer", "Pooling", "custom.Custom")

    with pytest.raises(PickleRefusedError):
        CrossEncoder(pooled, device="cpu", trust_remote_code=True)
    assert not canary.sang
    write(pooled, {"own.pt": canary.state_dict()})
    CrossEncoder(pooled, device="cpu", trust_remote_code=True, allow_pickle=True)
    assert canary.sang
