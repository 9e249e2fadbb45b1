"""Settings that go on to other libraries, programs or repositories need trust, in whichever file they stand."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import transformers
from hub_server import HubServer
from hypothesis import given
from hypothesis import strategies as st
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from traps import GOLDEN, PAIRS, Canary, edit, with_module, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, PairchainError, PairchainWarning, TrustRequiredError, UnsafePathError
from pairchain_transformer.settings import names
from pairchain_transformer.settings.during_load import filtering_settings
from pairchain_transformer.settings.files import ProcessingSettings, processing_settings, remove_content_read_elsewhere
from pairchain_transformer.settings.filtering import filter_settings

pytestmark = pytest.mark.slow

JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer"}
OCR = {"image_processor_type": "LayoutLMv3ImageProcessor", "processor_class": "LayoutLMv3Processor"}
ONEFORMER = {"image_processor_type": "OneFormerImageProcessor"}

# file, what it says, the setting that the refusal names
REACHING: list[tuple[str, dict[str, Any], str]] = [
    ("tokenizer_config.json", {**JAPANESE, "word_tokenizer_type": "sudachi"}, "word_tokenizer_type = 'sudachi'"),
    ("tokenizer_config.json", {**JAPANESE, "word_tokenizer_type": "jumanpp"}, "word_tokenizer_type = 'jumanpp'"),
    ("tokenizer_config.json", {"sudachi_kwargs": {"sudachi_config_path": "x.json"}}, "sudachi_kwargs = "),
    ("tokenizer_config.json", {"sudachi_config_path": "x.json"}, "sudachi_config_path = 'x.json'"),
    ("tokenizer_config.json", {"mecab_kwargs": {"mecab_option": "-r /tmp/evilrc"}}, "mecab_kwargs = "),
    ("tokenizer_config.json", {"mecab_kwargs": {"mecab_dic": "unidic_lite", "mecab_option": "-r x"}}, "mecab_kwargs"),
    ("tokenizer_config.json", {"jumanpp_kwargs": {"trim_whitespace": True}}, "jumanpp_kwargs = "),
    ("tokenizer_config.json", {"sp_model_kwargs": {"model_file": "/etc/passwd"}}, "sp_model_kwargs = "),
    ("tokenizer_config.json", {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"}, "do_phonemize, by default"),
    ("tokenizer_config.json", {"phonemizer_backend": "festival"}, "phonemizer_backend = 'festival'"),
    ("tokenizer_config.json", {"tokenizer_class": "VitsTokenizer", "phonemize": True}, "phonemize = True"),
    ("special_tokens_map.json", {"sudachi_kwargs": {"sudachi_config_path": "x.json"}}, "sudachi_kwargs = "),
    ("special_tokens_map.json", {"word_tokenizer_type": "sudachi"}, "word_tokenizer_type = "),
    ("qformer_tokenizer/tokenizer_config.json", {"mecab_kwargs": {"mecab_option": "x"}}, "mecab_kwargs = "),
    ("preprocessor_config.json", {**OCR, "apply_ocr": True}, "apply_ocr = True"),
    ("preprocessor_config.json", {**OCR, "apply_ocr": None}, "apply_ocr = None"),
    ("preprocessor_config.json", OCR, "apply_ocr, by default"),
    ("preprocessor_config.json", {"feature_extractor_type": "LayoutLMv2FeatureExtractor"}, "apply_ocr, by default"),
    ("preprocessor_config.json", {**OCR, "apply_ocr": False, "tesseract_config": "--x"}, "tesseract_config = '--x'"),
    ("preprocessor_config.json", {**OCR, "apply_ocr": False, "ocr_lang": "eng+x"}, "ocr_lang = 'eng+x'"),
    ("processor_config.json", {"image_processor": {**OCR, "apply_ocr": True}}, "apply_ocr = True"),
    ("processor_config.json", {"image_processor": OCR}, "apply_ocr, by default"),
    ("preprocessor_config.json", {**ONEFORMER, "class_info_file": "classes.json"}, "class_info_file = "),
    ("preprocessor_config.json", {**ONEFORMER, "class_info_file": "c", "repo_path": "evil/secrets"}, "repo_path = "),
    ("video_preprocessor_config.json", {"class_info_file": "classes.json"}, "class_info_file = "),
    ("preprocessor_config.json", {"image_processor_type": "TimmWrapperImageProcessor"}, "TimmWrapperImageProcessor"),
    ("preprocessor_config.json", {"image_processor_type": "Pix2StructImageProcessor", "is_vqa": True}, "is_vqa"),
    ("processor_config.json", {"images_kwargs": {"apply_ocr": True}}, "images_kwargs: apply_ocr = True"),
    ("tokenizer_config.json", {"deep": [{"er": {"sudachi_config_path": "x"}}]}, "sudachi_config_path = 'x'"),
    ("processor_config.json", {"processor_class": "Wav2Vec2ProcessorWithLM"}, "Wav2Vec2ProcessorWithLM"),
    ("processor_config.json", {"processor_class": "BarkProcessor"}, "BarkProcessor"),
    (
        "processor_config.json",
        {"audio_tokenizer": {"audio_tokenizer_class": "DacModel", "audio_tokenizer_name_or_path": "evil/sounds"}},
        "audio_tokenizer = ",
    ),
    ("audio_tokenizer_config.json", {"audio_tokenizer_name_or_path": "evil/sounds"}, "audio_tokenizer_name_or_path"),
    ("config.json", {"model_type": "timm_wrapper"}, "model_type = 'timm_wrapper'"),
    ("config.json", {"text_config": {"experts_implementation": "sonicmoe"}}, "experts_implementation = 'sonicmoe'"),
    ("config.json", {"use_pretrained_backbone": True}, "use_pretrained_backbone = True"),
    ("config.json", {"backbone": "evil/backbone"}, "backbone = 'evil/backbone'"),
    ("config.json", {"backbone_kwargs": {"pretrained_cfg": {"file": "x"}}}, "backbone_kwargs = "),
    (
        "config.json",
        {"vision_config": {"backbone_config": {"backbone": "hf-hub:evil/x"}}},
        "backbone = 'hf-hub:evil/x'",
    ),
    (
        "config.json",
        {"detectron2_config_args": {"MODEL.WEIGHTS": "http://evil.example/x.pkl"}},
        "detectron2_config_args",
    ),
]


@pytest.mark.parametrize(("file", "values", "named"), REACHING)
def test_a_setting_that_reaches_something_else_is_refused_and_told(
    file: str, values: dict[str, Any], named: str, classifier: Path
) -> None:
    edit(classifier, file, **values)

    with pytest.raises(TrustRequiredError, match="settings reach other libraries") as caught:
        CrossEncoder(classifier, device="cpu")
    assert f"{file.partition(':')[0]}" in str(caught.value)
    assert named in str(caught.value)
    report = pairchain.inspect(classifier)
    assert any(named in setting["setting"] for setting in report.to_json()["foreign_settings"])
    assert "runs no code of its own" not in str(report)
    # with one of these settings the checkpoint is none for this task any more
    assert "loads only if its settings are trusted" in str(report) or "does not load" in str(report)
    assert list(caught.value.approvals) == report.approvals


@pytest.mark.parametrize("allowed", ["true", "approval"])
def test_a_caller_who_trusts_the_settings_gets_past_them(allowed: str, classifier: Path) -> None:
    edit(classifier, "tokenizer_config.json", mecab_kwargs={"mecab_option": "-r /nowhere"})
    trusted = True if allowed == "true" else pairchain.inspect(classifier).approvals

    # the class of this model's tokenizer does not look at them
    assert len(CrossEncoder(classifier, device="cpu", trust_remote_code=trusted).predict(PAIRS)) == len(PAIRS)
    write(classifier, {"rc": "something else"})
    if allowed == "approval":
        with pytest.raises(TrustRequiredError):
            CrossEncoder(classifier, device="cpu", trust_remote_code=trusted)


def test_of_a_repository_the_commit_is_what_is_approved(classifier: Path, hub: HubServer, tmp_path: Path) -> None:
    edit(classifier, "tokenizer_config.json", mecab_kwargs={"mecab_option": "-r /nowhere"})
    hub.add_repo("somebody/words")
    commit = hub.commit("somebody/words", classifier)
    options: dict[str, Any] = {"device": "cpu", "cache_folder": str(tmp_path / "cache")}

    with pytest.raises(TrustRequiredError) as caught:
        CrossEncoder("somebody/words", **options)
    assert caught.value.approvals == (f"somebody/words@{commit}",)
    assert CrossEncoder("somebody/words", trust_remote_code=list(caught.value.approvals), **options).predict(PAIRS)[0]


def test_what_the_caller_sets_needs_no_trust(classifier: Path) -> None:
    edit(classifier, "tokenizer_config.json", mecab_kwargs={"mecab_option": "-r /nowhere"})

    model = CrossEncoder(classifier, device="cpu", processor_kwargs={"mecab_kwargs": None})

    assert len(model.predict(PAIRS)) == len(PAIRS)


def test_a_lock_grants_no_trust_in_settings_and_holds_their_files(classifier: Path) -> None:
    edit(classifier, "tokenizer_config.json", mecab_kwargs={"mecab_option": "-r /nowhere"})
    lock = pairchain.lock(classifier, None)

    with pytest.raises(TrustRequiredError):
        CrossEncoder(classifier, device="cpu", lock=lock)
    edit(classifier, "tokenizer_config.json", mecab_kwargs={"mecab_option": "-r /elsewhere"})
    with pytest.raises(pairchain.errors.LockError, match=r"tokenizer_config\.json changed"):
        CrossEncoder(classifier, device="cpu", lock=lock, trust_remote_code=True)


def test_trust_in_a_model_is_no_trust_in_the_settings_of_a_tokenizer_elsewhere(
    classifier: Path, hub: HubServer
) -> None:
    words = write(classifier.parent / "words", {"tokenizer.json": (classifier / "tokenizer.json").read_bytes()})
    edit(words, "tokenizer_config.json", mecab_kwargs={"mecab_option": "-r /nowhere"})
    hub.add_repo("somebody/other-words")
    hub.commit("somebody/other-words", words)
    edit(classifier, "sentence_bert_config.json", tokenizer_name_or_path="somebody/other-words")

    with pytest.raises(TrustRequiredError, match="mecab_kwargs"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)


READS_WORDS = """
import torch
from transformers import AutoTokenizer
from pairchain import Module

class Words(Module):
    @classmethod
    def load(cls, model_name_or_path, subfolder="", **kwargs):
        module = cls()
        module.tokenizer = AutoTokenizer.from_pretrained(model_name_or_path, subfolder=subfolder)
        return module

    def forward(self, features, **kwargs):
        return features

    def save(self, output_path, *args, **kwargs):
        self.save_config(output_path)
"""


def test_trust_in_code_is_no_trust_in_settings_that_the_code_loads(classifier: Path) -> None:
    with_module(classifier, "words.Words", {"words.py": READS_WORDS})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        write(classifier, {f"9_Words/{name}": (classifier / name).read_bytes()})
    trusted = pairchain.inspect(classifier).approvals
    assert len(CrossEncoder(classifier, device="cpu", trust_remote_code=trusted)) == 2
    edit(classifier / "9_Words", "tokenizer_config.json", sudachi_kwargs={"sudachi_config_path": "x.json"})

    with pytest.raises(TrustRequiredError, match="sudachi_kwargs"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=trusted)
    report = pairchain.inspect(classifier)
    assert "sudachi_kwargs" in str(report)
    assert len(CrossEncoder(classifier, device="cpu", trust_remote_code=report.approvals)) == 2


def test_arguments_saved_with_a_model_reach_nothing_else_either(classifier: Path) -> None:
    saved = {"config_kwargs": {"backbone": "evil/backbone"}, "processor_kwargs": {"sudachi_kwargs": {"x": 1}}}
    edit(classifier, "sentence_bert_config.json", **saved)

    with pytest.warns(PairchainWarning, match="may not decide") as caught:
        CrossEncoder(classifier, device="cpu")
    said = " ".join(str(warning.message) for warning in caught)
    assert "'backbone'" in said
    assert "'sudachi_kwargs'" in said


@pytest.mark.parametrize("values", [{**OCR, "apply_ocr": True}, OCR])
@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_the_caller_can_switch_off_what_a_part_of_a_processor_reaches(
    file: str, values: dict[str, Any], classifier: Path
) -> None:
    edit(classifier, file, **({"image_processor": values} if file == "processor_config.json" else values))
    source = pairchain.Source(str(classifier))

    assert processing_settings(source).foreign is not None
    assert processing_settings(source, {"apply_ocr": False}).foreign is None


def test_the_class_itself_is_held_to_its_settings(classifier: Path) -> None:
    edit(classifier, "tokenizer_config.json", word_tokenizer_type="sudachi", sudachi_kwargs={"sudachi_dict_type": "x"})
    write(classifier, {"vocab.txt": "[PAD]\n[UNK]\n"})
    source = pairchain.Source(str(classifier))

    with (
        filtering_settings(source, (), ProcessingSettings(), may_be_trusted=True),
        pytest.raises(TrustRequiredError, match="sudachi_kwargs"),
    ):
        transformers.BertJapaneseTokenizer.from_pretrained(classifier)


def test_after_a_load_the_library_is_as_it_was(classifier: Path) -> None:
    doors = [
        (PreTrainedTokenizerBase, "_from_pretrained"),
        (ImageProcessingMixin, "from_dict"),
        (FeatureExtractionMixin, "from_dict"),
        (ProcessorMixin, "from_args_and_dict"),
        (ProcessorMixin, "_get_arguments_from_pretrained"),
    ]
    before = [vars(cls)[name] for cls, name in doors]

    CrossEncoder(classifier, device="cpu")
    edit(classifier, "tokenizer_config.json", sudachi_kwargs={"x": 1})
    with pytest.raises(PairchainError):
        CrossEncoder(classifier, device="cpu")

    assert [vars(cls)[name] for cls, name in doors] == before


def part_classes() -> list[str]:
    names: set[str] = set()
    for mapping in (IMAGE_PROCESSOR_MAPPING_NAMES, FEATURE_EXTRACTOR_MAPPING_NAMES):
        for value in mapping.values():
            found = value.values() if isinstance(value, dict) else [value] if isinstance(value, str) else value
            names |= {name for name in found if name}
    return sorted(names)


def test_what_the_classes_of_the_library_save_passes_whole() -> None:
    source = pairchain.Source(str(GOLDEN / "bert_seqcls_1label" / "model"))
    tried = 0
    for name in part_classes():
        try:
            saved = json.loads(getattr(transformers, name)().to_json_string())
        except (ImportError, TypeError, ValueError, KeyError):
            continue  # a package is missing, or a class has no defaults
        tried += 1
        found = filter_settings(saved, source, name, [name])
        assert not [why for why in found.left_out.values() if why], name
        assert {setting.key for setting in found.reaching} <= {"apply_ocr"}, name
    assert tried > 100


def tokenizer_classes() -> list[Any]:
    found = [getattr(transformers, name) for name in dir(transformers) if "Tokenizer" in name]
    return [cls for cls in found if isinstance(cls, type) and issubclass(cls, PreTrainedTokenizerBase)]


def test_no_argument_of_any_tokenizer_takes_a_path_out_of_the_model(classifier: Path, tmp_path: Path) -> None:
    secret = str(write(tmp_path, {"outside/secret.txt": "secret"}) / "outside" / "secret.txt")
    source = pairchain.Source(str(classifier))
    classes = tokenizer_classes()
    for cls in classes:
        parameters = {name for base in cls.__mro__ for name in inspect.signature(base.__init__).parameters}
        for key in parameters - {"self", "args", "kwargs"}:
            for value in (secret, [secret], {"deep": [secret]}):
                try:
                    found = filter_settings({key: value}, source, "tokenizer_config.json", [cls.__name__])
                except UnsafePathError:
                    continue
                assert found.reaching or secret not in json.dumps(found.passed), (cls, key, value)
    assert len(classes) > 90


KEYS = st.sampled_from([*sorted(names.PLAIN | names.TEXT | names.FILE), "sep_token", "vocab_file", "image_processor"])
KEYS |= st.text("abc_", min_size=1, max_size=6)
SECRET = __file__


@given(
    st.recursive(
        st.just(SECRET) | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS, inside, max_size=3),
        max_leaves=8,
    ).flatmap(lambda value: KEYS.map(lambda key: {key: value}))
)
def test_wherever_a_path_out_of_the_model_stands_it_reaches_no_class(values: dict[str, Any]) -> None:
    source = pairchain.Source(str(GOLDEN / "bert_seqcls_1label" / "model"))

    try:
        found = filter_settings(values, source, "processor_config.json")
    except FormatError:
        return
    assert SECRET not in json.dumps(found.passed) + json.dumps(found.files)


def test_what_was_read_for_a_setting_from_outside_is_not_saved(tmp_path: Path) -> None:
    write(tmp_path, {"outside/classes.json": json.dumps({"0": {"name": "the-secret", "isthing": 1}})})
    settings = {"class_info_file": "classes.json", "repo_path": str(tmp_path / "outside")}
    processor = transformers.models.oneformer.image_processing_pil_oneformer.OneFormerImageProcessorPil(**settings)
    processor.save_pretrained(tmp_path / "saved")
    assert "the-secret" in (tmp_path / "saved" / "preprocessor_config.json").read_text()

    remove_content_read_elsewhere(str(tmp_path / "saved"))

    saved = (tmp_path / "saved" / "preprocessor_config.json").read_text()
    assert "the-secret" not in saved
    assert json.loads(saved)["class_info_file"] == "classes.json"


@pytest.mark.skipif(not find_spec("sudachipy") or not shutil.which("gcc"), reason="it needs sudachipy and a compiler")
def test_no_shared_object_of_a_model_is_loaded_through_a_dictionary_s_settings(
    classifier: Path, canary: Canary
) -> None:
    sings = f'__attribute__((constructor)) void f(void) {{ fclose(fopen("{canary.path}", "w")); }}\n'
    write(classifier, {"sings.c": f"#include <stdio.h>\n{sings}", "vocab.txt": "[PAD]\n[UNK]\n"})
    shared = classifier / "sings.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shared, classifier / "sings.c"], check=True)
    dictionary = {"systemDict": "system.dic", "inputTextPlugin": [{"class": str(shared)}]}
    write(classifier, {"sudachi.json": json.dumps(dictionary)})
    kwargs = {"sudachi_config_path": str(classifier / "sudachi.json"), "sudachi_dict_type": "small"}
    edit(classifier, "tokenizer_config.json", **JAPANESE, word_tokenizer_type="sudachi", sudachi_kwargs=kwargs)

    with pytest.raises(TrustRequiredError, match="sudachi_config_path"):
        CrossEncoder(classifier, device="cpu")
    assert not canary.sang
    with pytest.raises(PairchainError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    assert canary.sang
