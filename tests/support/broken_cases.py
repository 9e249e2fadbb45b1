"""Which changes break a model, and what a report says of each; and changes that do not."""

from __future__ import annotations

from broken_models import (
    Case,
    both,
    cut_weights,
    emptied,
    entry,
    keys,
    linked_out,
    pickled,
    renamed_word,
    sharded,
    text,
    without,
)

_CONFIG = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_CLASSIFIER, _POOLED, _BARE = "bert_seqcls_1label", "pooling_mean", "legacy_v3_plain_hf"
_CAUSAL, _ROUTER, _CUSTOM = "qwen3_causal_logitscore", "router_by_task", "custom_temperature_module"
_CODE = "temperature_logit_score.py"

BROKEN = [
    Case("modules.json is cut off", _CLASSIFIER, text("modules.json", '[{"idx": 0,'), "files", ("not JSON", "line 1")),
    Case("modules.json is empty", _CLASSIFIER, text("modules.json", "[]"), "files", ("must be a list of modules",)),
    Case("two modules have one name", _POOLED, entry(1, name="0"), "files", ("two modules named '0'",)),
    Case("a module's folder is above", _POOLED, entry(1, path="../1_Pooling"), "files", ("leaves the model's folder",)),
    Case("a type is nobody's", _POOLED, entry(2, type="bi_dense.BiDense"), "type", ("'bi_dense.BiDense'",)),
    Case(
        "a type's plugin was recorded",
        _POOLED,
        entry(2, type="bi_dense.BiDense", distribution="bi-dense"),
        "type",
        ("pip install bi-dense",),
    ),
    Case("a type is a function of Python's", _POOLED, entry(2, type="os.system"), "type", ("'os.system'",)),
    Case(
        "a type is one that sentence-transformers never had",
        _POOLED,
        entry(1, type="sentence_transformers.models.Poolinng"),
        "type",
        ("Poolinng",),
    ),
    Case("its settings are a list", _CLASSIFIER, text(_CONFIG, "[]"), "files", ("must hold a JSON object",)),
    Case("a prompt is a number", _CLASSIFIER, keys(_CONFIG, prompts={"query": 3}), "files", ("prompt 'query' is 3",)),
    Case(
        "its default prompt is none of its own",
        _CLASSIFIER,
        keys(_CONFIG, default_prompt_name="doc"),
        "files",
        ("doc",),
    ),
    Case(
        "it needs what is not installed",
        _CLASSIFIER,
        keys(_CONFIG, requirements={"no-such-package": ">=2"}),
        "requirement",
        ("no-such-package>=2", "not installed"),
    ),
    Case("its weights are gone", _CLASSIFIER, without("model.safetensors"), "files", ("no model.safetensors",)),
    Case("its weights are cut off", _CLASSIFIER, cut_weights, "files", ("bytes of tensors",)),
    Case("its weights are a pickle", _CLASSIFIER, pickled("pytorch_model.bin"), "pickle", ("allow_pickle=True",)),
    Case(
        "a pickle is called safetensors", _CLASSIFIER, pickled("model.safetensors"), "files", ("looks like a pickle",)
    ),
    Case(
        "a shard of its weights is gone",
        _CLASSIFIER,
        sharded("model-00002-of-00002.safetensors"),
        "files",
        ("model-00002-of-00002.safetensors is missing",),
    ),
    Case("its tokenizer is gone", _CLASSIFIER, without("tokenizer.json"), "files", ("vocabulary is missing",)),
    Case("config.json is gone", _CLASSIFIER, without("config.json"), "files", ("config.json is missing",)),
    Case("config.json is damaged", _CLASSIFIER, text("config.json", "{"), "files", ("config.json", "not JSON")),
    Case(
        "its architecture is unknown",
        _CLASSIFIER,
        keys("config.json", model_type="berty"),
        "files",
        ("the architecture 'berty'",),
    ),
    Case(
        "its architecture does not do its task",
        _CLASSIFIER,
        keys("config.json", model_type="vit"),
        "files",
        ("AutoModelForSequenceClassification", "'vit'"),
    ),
    Case("its task is unknown", _CLASSIFIER, keys(_TRANSFORMER, transformer_task="rank"), "files", ("'rank'",)),
    Case("a file of it is a link to another's", _CLASSIFIER, linked_out, "files", ("leads out of the model's folder",)),
    Case("Dense has no configuration", _POOLED, without("2_Dense/config.json"), "files", ("in_features",)),
    Case("Dense has no weights", _POOLED, without("2_Dense/model.safetensors"), "files", ("no weights",)),
    Case(
        "Dense names a function of its own",
        _POOLED,
        keys("2_Dense/config.json", activation_function="os.system"),
        "files",
        ("'os.system'",),
    ),
    Case(
        "Dense writes no scores",
        _POOLED,
        keys("2_Dense/config.json", module_output_name="logits"),
        "chain",
        ("nothing in this chain writes 'scores'",),
    ),
    Case(
        "Dense reads what nobody writes",
        _POOLED,
        keys("2_Dense/config.json", module_input_name="pooled"),
        "chain",
        ("module 2 reads 'pooled'",),
    ),
    Case("Pooling has no configuration", _POOLED, without("1_Pooling/config.json"), "files", ("embedding_dimension",)),
    Case(
        "LogitScore lacks its token",
        _CAUSAL,
        keys("1_LogitScore/config.json", true_token_id=None),
        "files",
        ("true_token_id",),
    ),
    Case("a Router has no configuration", _ROUTER, without("router_config.json"), "files", ("router_config.json",)),
    Case(
        "a route leads to no module",
        _ROUTER,
        keys("router_config.json", structure={"fast": ["nowhere"]}),
        "files",
        ("'fast'", "nowhere"),
    ),
    Case("the code of a type is gone", _CUSTOM, without(_CODE), "type", ("TemperatureLogitScore",)),
    Case("the code of a type is no Python", _CUSTOM, text(_CODE, "def f(:\n"), "code", ("no", "line 1")),
    Case("the code defines another class", _CUSTOM, text(_CODE, "class Other: ..."), "code", ("defines no class",)),
    Case(
        "the code imports what is not there",
        _CUSTOM,
        text(_CODE, "import no_such_package\n\nclass TemperatureLogitScore: ...\n"),
        "code",
        ("imports no_such_package",),
    ),
    Case(
        "the code is larger than any code",
        _CUSTOM,
        text(_CODE, "#" * (2**20 + 1)),
        "code",
        (_CODE, "larger than"),
    ),
    Case(
        "its code is in a repository that there is not",
        _CUSTOM,
        entry(1, type="nobody/nothing--head.Head"),
        "code",
        ("nobody/nothing", "does not exist"),
    ),
    Case(
        "its architecture is code beside it",
        _CLASSIFIER,
        both(
            keys("config.json", model_type="berty", auto_map={"AutoConfig": "berty.Config"}),
            text("berty.py", "class Config: ..."),
        ),
        "trust",
        ("the checkpoint's Config", "sha256:"),
    ),
    Case(
        "its architecture is code that is gone",
        _CLASSIFIER,
        keys("config.json", model_type="berty", auto_map={"AutoConfig": "berty.Config"}),
        "files",
        ("berty.py", "is missing"),
    ),
    Case("there is no model", _CLASSIFIER, emptied, "files", ("neither modules.json nor config.json",)),
    Case("a bare checkpoint has no weights", _BARE, without("model.safetensors"), "files", ("no model.safetensors",)),
    Case("a bare checkpoint is a pickle", _BARE, pickled("pytorch_model.bin"), "pickle", ("pytorch_model.bin",)),
    Case(
        "a bare causal model has no word for yes",
        _BARE,
        both(keys("config.json", architectures=["BertForCausalLM"]), renamed_word("yes")),
        "chain",
        ("no token 'yes'",),
    ),
]

# Where sentence-transformers is installed.
BROKEN_WITH_PEER = [
    Case(
        "a type of sentence-transformers does what files say",
        _POOLED,
        entry(0, type="sentence_transformers.sentence_transformer.modules.CLIPModel"),
        "trust",
        ("CLIPModel", "trust_remote_code=True"),
    ),
    Case(
        "a type is one that the installed sentence-transformers has not",
        _POOLED,
        entry(1, type="sentence_transformers.models.Poolinng"),
        "type",
        ("no installed plugin provides", "Poolinng"),
    ),
]

WHOLE = [
    Case("its weights are in two files", _CLASSIFIER, sharded()),
    Case("there is a pickle beside its weights", _CLASSIFIER, text("pytorch_model.bin", "not read")),
    Case("its README says something else", _CLASSIFIER, text("README.md", "changed")),
    Case("there is code that nobody names", _CLASSIFIER, text("train.py", "import no_such_package")),
    Case(
        "its architecture is known, and code beside it offers another",
        _CLASSIFIER,
        both(keys("config.json", auto_map={"AutoConfig": "conf.Conf"}), text("conf.py", "raise SystemExit")),
    ),
    Case(
        "its architecture is known, and the code that it names is gone",
        _CLASSIFIER,
        keys("config.json", auto_map={"AutoModelForSequenceClassification": "conf.Conf"}),
    ),
    Case("a type has the name that it had once", _POOLED, entry(2, type="sentence_transformers.models.Dense")),
    Case("a number is infinite", _CLASSIFIER, text("generation_config.json", '{"x": Infinity}')),
]
