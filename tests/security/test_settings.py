"""A model's settings decide neither whom its user trusts, nor revisions, nor kernels, in whichever file they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from traps import PAIRS, Canary, router, with_auto_map, with_module, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, TrustRequiredError

GRANTS: dict[str, Any] = {
    "trust_remote_code": True,
    "allow_pickle": True,
    "local_files_only": False,
    "revision": "evil",
    "code_revision": "evil",
    "trust": ["all"],
    "approvals": True,
    "lock": "pairchain.lock.json",
    "module_classes": {"head.Head": "os.system"},
}

FILES = [
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "router_config.json",
    "adapter_config.json",
    "pairchain.lock.json",
    "pairchain.json",
]


def edit(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    before = json.loads(path.read_text()) if path.exists() else {}
    write(folder, {file: json.dumps({**before, **values})})


# Some of these keys are warned about, and some make no sense where they stand; what counts is that nothing runs.
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("file", FILES)
def test_no_file_grants_trust_to_a_module_of_the_model(file: str, classifier: Path, canary: Canary) -> None:
    with_module(classifier, "head.Head", {"head.py": canary.head()}, **GRANTS)
    edit(classifier, file, **GRANTS)

    with pytest.raises(TrustRequiredError, match=r"head\.py"):
        CrossEncoder(classifier, device="cpu")
    assert pairchain.inspect(classifier).approvals
    assert not canary.sang


@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("file", FILES)
def test_no_file_grants_trust_to_code_of_the_checkpoint(file: str, classifier: Path, canary: Canary) -> None:
    with_auto_map(classifier, canary)
    edit(classifier, file, **GRANTS)
    for group in ("model_kwargs", "config_kwargs", "processor_kwargs", "model_args", "config_args", "tokenizer_args"):
        edit(classifier, "sentence_bert_config.json", **{group: {"trust_remote_code": True, "code_revision": "evil"}})

    with pytest.raises(TrustRequiredError, match=r"modeling_tiny\.py"):
        CrossEncoder(classifier, device="cpu")
    assert not canary.sang


@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
def test_no_file_grants_trust_inside_a_router(classifier: Path, canary: Canary) -> None:
    write(classifier, {"query_0/head.py": canary.head()})
    router(classifier, {"query_0": "head.Head"}, **GRANTS)
    edit(classifier, "router_config.json", **GRANTS)

    with pytest.raises(TrustRequiredError, match=r"query_0/head\.py"):
        CrossEncoder(classifier, device="cpu")
    assert not canary.sang


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization.Words", None]}}),
        ("tokenizer_config.json", {"auto_map": ["tokenization.Words", None]}),
        ("tokenizer_config.json", {"auto_map": {"AutoProcessor": "tokenization.Words"}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "tokenization.Words"}}),
        ("processor_config.json", {"image_processor": {"auto_map": {"AutoImageProcessor": "tokenization.Words"}}}),
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "tokenization.Words"}}),
        ("video_preprocessor_config.json", {"auto_map": {"AutoVideoProcessor": "tokenization.Words"}}),
        ("config.json", {"auto_map": {"AutoProcessor": "tokenization.Words"}}),
        ("config.json", {"auto_map": {"AutoTokenizer": "tokenization.Words"}}),
        ("config.json", {"auto_map": {"AutoModelForSequenceClassification": "tokenization.Words"}}),
    ],
)
def test_code_that_any_settings_name_is_shown_and_does_not_run(
    file: str, settings: dict[str, Any], classifier: Path, canary: Canary
) -> None:
    write(classifier, {"tokenization.py": canary.head().replace("Head", "Words")})
    edit(classifier, file, **settings)

    try:
        scores = CrossEncoder(classifier, device="cpu").predict(PAIRS)
    except pairchain.PairchainError:
        pass
    else:
        # the library has classes of its own for this checkpoint, and takes them
        assert len(scores) == len(PAIRS)
    report = pairchain.inspect(classifier)
    assert [file.path for code in report.code.values() for file in code.files] == ["tokenization.py"]
    assert "tokenization.py" in str(report)
    assert not canary.sang


KERNELS = ["someone/kernels", "someone/kernels@v1", "someone/kernels:forward", "paged|someone/kernels"]
# The library may take these from a repository of kernels, whether or not a package of another one is installed.
KERNELS += [f"flash_attention_{version}" for version in (2, 3, 4)] + ["paged|flash_attention_3", "of_tomorrow"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("kernels", [*KERNELS, {"": "someone/kernels"}, {"text_config": "someone/kernels"}])
@pytest.mark.parametrize(
    "place",
    [
        ("config.json", "attn_implementation"),
        ("config.json", "_attn_implementation"),
        ("config.json", "_attn_implementation_internal"),
        ("sentence_bert_config.json", "model_kwargs"),
        ("sentence_bert_config.json", "config_kwargs"),
    ],
)
def test_no_file_names_kernels(
    place: tuple[str, str], kernels: Any, classifier: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, key = place
    monkeypatch.syspath_prepend(write(classifier.parent / "site", {"flash_attn/__init__.py": ""}))
    edit(classifier, file, **{key: {"attn_implementation": kernels} if key.endswith("kwargs") else kernels})

    assert CrossEncoder(classifier, device="cpu").config._attn_implementation == "sdpa"
    assert not hub.requests


@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("group", ["model_kwargs", "config_kwargs", "processor_kwargs"])
def test_settings_of_a_transformer_hand_on_only_what_is_known_to_be_harmless(
    group: str, classifier: Path, canary: Canary, hub: HubServer
) -> None:
    with_auto_map(classifier, canary)
    config = json.loads((classifier / "config.json").read_text())
    auto_map = config.pop("auto_map")
    write(classifier, {"config.json": json.dumps({**config, "model_type": "bert"})})
    expected = CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist()
    options = {
        "auto_map": auto_map,
        "trust_remote_code": True,
        "use_kernels": True,
        "allow_all_kernels": True,
        "device_map": "disk",
        "offload_folder": "/",
        "tp_plan": "auto",
        "key_mapping": {"(a+)+$": ""},
        "cache_dir": "/",
        "proxies": {"http": "http://evil.example"},
        "quantization_config": {"quant_method": "evil"},
        "adapter_kwargs": {"_adapter_model_path": "/"},
        "_attn_implementation": "someone/kernels",
        "a_name_of_tomorrow": "evil",
    }
    edit(classifier, "sentence_bert_config.json", **{group: options})

    with pytest.warns(pairchain.PairchainWarning) as caught:
        model = CrossEncoder(classifier, device="cpu", trust_remote_code=["sha256:" + "0" * 64])

    assert model.predict(PAIRS).tolist() == expected
    said = " ".join(str(warning.message) for warning in caught)
    for key in options:
        # a configuration may hold what it likes, but for what the library takes for its own
        assert f"'{key}', which a model's file" in said or f"'{key}', which BertConfig does not" in said
    assert not hub.requests
    assert not canary.sang


FUNCTIONS = ["torch.seed", "torch.utils.collect_env.get_pretty_env_info", "os.getpid", "torch.nn.Linear", "lurking.Act"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize("path", FUNCTIONS)
@pytest.mark.parametrize("file", ["config_sentence_transformers.json", "config.json", "2_Dense/config.json"])
def test_an_activation_is_looked_up_and_never_imported_or_called(
    file: str, path: str, pooled: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pooled, {"lurking.py": canary.head().replace("Head", "Act")})
    monkeypatch.syspath_prepend(pooled)
    if file == "config.json":
        write(pooled, {"config_sentence_transformers.json": '{"model_type": "CrossEncoder"}'})
        edit(pooled, file, sbert_ce_default_activation_function=path, sentence_transformers={"activation_fn": path})
    else:
        edit(pooled, file, **{"activation_function" if "Dense" in file else "activation_fn": path})
    seed = torch.initial_seed()

    for trust in (False, True):
        if "Dense" in file:
            with pytest.raises(FormatError, match=path):
                CrossEncoder(pooled, device="cpu", trust_remote_code=trust)
        else:
            model = CrossEncoder(pooled, device="cpu", trust_remote_code=trust)
            assert isinstance(model.activation_fn, torch.nn.Sigmoid)

    assert torch.initial_seed() == seed
    assert path in str(pairchain.inspect(pooled))
    assert not canary.sang
