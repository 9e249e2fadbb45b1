"""The quick reader reads tokenizers of older versions as they were published, with the warning that a load gives."""

from __future__ import annotations

import base64
import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from published.encoding import encodings, unequal
from published.families import FAMILIES
from published.variants import CONFIG, FILE, Files, of_record, variants, write
from tiny_models import GOLDEN, edited, load, save_tiny

import pairchain
from pairchain.opening import open_source
from pairchain_transformer.build import Reading
from pairchain_transformer.checkpoint.configuration import load_config
from pairchain_transformer.checkpoint.keywords import hub_keywords
from pairchain_transformer.checkpoint.tasks import TASKS
from pairchain_transformer.quick.tokenizer import QuickTokenizer

RECORDS: dict[str, Any] = json.loads(Path(__file__).with_name("published_tokenizers.json").read_text(encoding="utf-8"))
TASK = TASKS["sequence-classification"]
# Families with their own tokens; the rest of the records are covered by the same rows.
FAMILY = {family.name: family for family in FAMILIES}


class Model:
    """Has the configuration that a reader looks at."""

    def __init__(self, config: Any) -> None:
        self.config = config


def saved_of(family: str) -> Files:
    _, saved = of_record(RECORDS[family])
    assert saved is not None
    return copy.deepcopy(saved)


def charsmap() -> str:
    """Return a table of characters that changes none, in the form in which SentencePiece's models hold it."""
    trie = bytes(4 * 512)
    return base64.b64encode(len(trie).to_bytes(4, "little") + trie).decode()


def reranker_of_bge() -> Files:
    """XLM-R as versions before 4.40 saved it, which most published rerankers have."""
    files = saved_of("XLMRobertaTokenizer")
    words = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    files[FILE]["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    files[FILE]["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, words]}
    files[CONFIG] |= {"model_max_length": 8192, "clean_up_tokenization_spaces": True}
    return files


def camembert() -> Files:
    files = reranker_of_bge()
    extra = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]
    for offset, name in enumerate(extra, start=20):
        files[FILE]["model"]["vocab"][offset][0] = name
        token = {"content": name, "special": True}
        token |= dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
        files[FILE]["added_tokens"].append({"id": offset, **token})
        files[CONFIG]["added_tokens_decoder"][str(offset)] = token
    files[FILE]["added_tokens"].sort(key=lambda token: token["id"])
    files[CONFIG] |= {"tokenizer_class": "CamembertTokenizer", "additional_special_tokens": extra}
    files["config.json"] = {**files["config.json"], "model_type": "camembert"}
    return files


def gemma() -> Files:
    files = saved_of("LlamaTokenizer")
    files[FILE]["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    files[FILE]["pre_tokenizer"] = split
    files[CONFIG] |= {"tokenizer_class": "GemmaTokenizer", "pad_token": "<unk>", "mask_token": "<unk>"}
    files["config.json"] = {**files["config.json"], "model_type": "gemma"}
    return files


def both(folder: Path, given: dict[str, Any], takes_types: bool) -> tuple[Any, Any, list[list[str]]]:
    """Return what the quick reader makes, what the library makes, and the warnings of both."""
    source = open_source(str(folder))
    hub = hub_keywords(source, trust_remote_code=False)
    config = load_config(source, TASK, hub, {})
    reading = Reading(TASK, source, False, False, given, takes_types=takes_types)
    told: list[list[str]] = []
    made = []
    for make in (lambda: reading.quick(Model(config)), lambda: reading(config, Model(config))):  # type: ignore[arg-type]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", pairchain.PairchainWarning)
            made.append(make())
        told.append([str(one.message) for one in caught if isinstance(one.message, pairchain.PairchainWarning)])
    return made[0], made[1], told


class Called:
    """A quick tokenizer with the names that `encodings` calls."""

    def __init__(self, tokenizer: QuickTokenizer) -> None:
        self.backend_tokenizer, self._own = tokenizer.backend, tokenizer
        self.model_input_names, self.pad_token = tokenizer.model_input_names, tokenizer.pad_token

    def __call__(self, first: list[str], second: list[str], pad_to_multiple_of: int, **options: Any) -> Any:
        return self._own([list(pair) for pair in zip(first, second, strict=True)], **options)


def check(folder: Path, given: dict[str, Any], takes_types: bool) -> bool:
    """Return whether the quick reader reads the files; if so, it reads and warns as the library's way does."""
    quick, library, told = both(folder, given, takes_types)
    if not isinstance(quick, QuickTokenizer):
        return False
    assert told[0] == told[1]
    found, expected = encodings(Called(quick)), encodings(library)
    if not takes_types:
        # nobody reads them
        for one in (found, expected):
            one["types"] = []
            one["names"] = [name for name in one["names"] if name != "token_type_ids"]
            for name in ("features", "cut"):
                (one[name] or {}).pop("token_type_ids", None)
    assert not unequal(found, expected)
    for name in ("padding_side", "truncation_side", "pad_token_id", "model_max_length", "chat_template"):
        assert getattr(quick, name) == getattr(library, name), name
    assert sorted(set(quick.all_special_ids)) == sorted(set(library.all_special_ids))
    assert quick.num_special_tokens_to_add(True) == library.num_special_tokens_to_add(True)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDS)
def test_variants_of_published_files_are_read_alike(name: str, tmp_path: Path) -> None:
    takes_types = name in ("BertTokenizer", "DebertaV2Tokenizer")
    slow, saved = of_record(RECORDS[name])
    read, wrong = [], []
    for number, variant in enumerate(variants(FAMILY[name], slow, saved)):
        folder = tmp_path / str(number)
        try:
            folder.mkdir()
            write(variant.files, folder)
            if check(folder, variant.given, takes_types):
                read.append(variant.name)
        except pairchain.PairchainError:
            # the library cannot read it either
            continue
        except AssertionError as error:
            wrong.append(f"{variant.name}: {str(error)[:2000]}")
    assert not wrong, "\n".join(wrong)
    assert {"saved", "class alone"} <= set(read) or name == "PreTrainedTokenizer"


SHAPES = {
    "bge-reranker": (reranker_of_bge, []),
    "camembert": (camembert, []),
    "gemma": (gemma, []),
    "mpnet": (lambda: saved_of("MPNetTokenizer"), []),
    "deberta": (lambda: saved_of("DebertaV2Tokenizer"), ["normalizer"]),
    "llama": (lambda: saved_of("LlamaTokenizer"), ["normalizer", "pre_tokenizer", "model"]),
    "xlm-r of 4.57": (lambda: saved_of("XLMRobertaTokenizer"), ["normalizer", "pre_tokenizer"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_files_that_rerankers_have_are_read(shape: str, tmp_path: Path) -> None:
    make, restored = SHAPES[shape]
    write(make(), tmp_path)
    quick, _, _ = both(tmp_path, {}, takes_types=shape == "deberta")
    assert isinstance(quick, QuickTokenizer), quick
    assert list(quick.restored) == restored
    assert check(tmp_path, {}, takes_types=shape == "deberta")


def test_a_warning_that_is_due_is_given_once(tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, "bert", "ForSequenceClassification", num_labels=1))
    edited(folder, "tokenizer_config.json", backend=None, is_local=None, local_files_only=None)
    file = json.loads((folder / FILE).read_text())
    cased = {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": "[a-m]"}, "content": "n"}]}
    (folder / FILE).write_text(json.dumps({**file, "normalizer": cased}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pairchain.PairchainWarning)
        model = load(folder, backend="auto")
        assert isinstance(model[0].reader, QuickTokenizer)
        before = model.predict([("how many", "people live")])
        assert model[0].tokenizer is not None
        model.save_pretrained(tmp_path / "saved")
    assert len([one for one in caught if "normalizer" in str(one.message)]) == 1
    assert model.predict([("how many", "people live")]) == pytest.approx(before, abs=1e-6)
    for choice, is_quick in (("as-published", True), ("library", False)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", pairchain.PairchainWarning)
            found = load(folder, backend="auto", tokenizer=choice)
        assert isinstance(found[0].reader, QuickTokenizer) == is_quick
    assert load(GOLDEN / "bert_seqcls_1label/model", backend="auto")[0].reader.restored == ()
