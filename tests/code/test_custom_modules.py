"""The documentation's own custom modules run as printed, are saved with their code, and load again elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from custom_models import code_in, load, run_script, types_of, write
from hub_server import HubServer
from huggingface_hub import constants

from pairchain.errors import TrustRequiredError, UnknownKeywordError

pytestmark = pytest.mark.slow

CHECKPOINT = Path(__file__).parents[1] / "golden" / "qwen3_causal_logitscore" / "model"
PAIRS = [("How many people live in Berlin?", "Berlin has a population of 3,520,031."), ("mars", "a red planet")]
OURS = "from pairchain.modules import Module, Transformer"
THEIRS = "from sentence_transformers.cross_encoder.modules import Module, Transformer"

# temperature_logit_score.py as the documentation prints it.
TEMPERATURE = """
import torch
{imports}

class TemperatureLogitScore(Module):
    config_keys: list[str] = ["true_token_id", "false_token_id", "temperature", "module_input_name"]

    def __init__(
        self,
        true_token_id: int,
        false_token_id: int | None = None,
        temperature: float = 1.0,
        module_input_name: str = "causal_logits",
        **kwargs,
    ) -> None:
        super().__init__()
        self.true_token_id = true_token_id
        self.false_token_id = false_token_id
        self.temperature = temperature
        self.module_input_name = module_input_name

    def forward(self, features: dict[str, torch.Tensor], **kwargs) -> dict[str, torch.Tensor]:
        logits = features[self.module_input_name][:, -1]
        # Apply temperature scaling
        logits = logits / self.temperature
        if self.false_token_id is None:
            scores = logits[:, self.true_token_id]
        else:
            scores = logits[:, self.true_token_id] - logits[:, self.false_token_id]
        features["scores"] = scores.unsqueeze(1)
        return features

    def save(self, output_path: str, *args, safe_serialization: bool = True, **kwargs) -> None:
        self.save_config(output_path)

    # The default `load` method reads `config.json` and passes the values
    # (i.e. the `config_keys`) as kwargs to __init__. This works for us,
    # so no need to override it.
"""

# custom_transformer.py likewise, with something to do where it says so, and the import that its annotations need.
TRANSFORMER = """
import torch
{imports}

class CustomTransformer(Transformer):
    def forward(self, features: dict[str, torch.Tensor], task: str | None = None, **kwargs) -> dict[str, torch.Tensor]:
        features = super().forward(features)
        if task == "default":
            # Do something
            features["causal_logits"] = features["causal_logits"] * 2
        else:
            # Do something else
            ...
        return features
"""

BUILD = """
import json, sys
from pairchain import CrossEncoder
{transformer}
from temperature_logit_score import TemperatureLogitScore

transformer = Transformer(sys.argv[1], transformer_task="text-generation")
score_head = TemperatureLogitScore(
    true_token_id=transformer.tokenizer.convert_tokens_to_ids("yes"),
    false_token_id=transformer.tokenizer.convert_tokens_to_ids("no"),
    temperature=2.0,
)
model = CrossEncoder(modules=[transformer, score_head], device="cpu")
model.save_pretrained(sys.argv[2])
print(json.dumps([model.predict(json.loads(sys.argv[3])).tolist(), str(model[1])]))
"""

LOAD = """
import json, sys
from pairchain import CrossEncoder
model = CrossEncoder(sys.argv[1], trust_remote_code=True, device="cpu")
print(json.dumps([model.predict(json.loads(sys.argv[2]), **keywords).tolist() for keywords in json.loads(sys.argv[3])]))
"""


def build(folder: Path, *, imports: str = OURS, transformer: str) -> tuple[Path, list[float], str]:
    """Save a model by a script beside its modules; return where, its scores, and how it prints its head.

    The folder of the script is gone afterwards.
    """
    home, model = folder / "author", folder / "model"
    files = {"temperature_logit_score.py": TEMPERATURE, "custom_transformer.py": TRANSFORMER}
    write(home, {path: text.format(imports=imports) for path, text in files.items()})
    done = run_script(home, BUILD.format(transformer=transformer), CHECKPOINT, model, json.dumps(PAIRS))
    shutil.rmtree(home)
    scores, head = json.loads(done)
    return model, scores, head


def scores_elsewhere(folder: Path, model: Path, *keywords: dict[str, str]) -> list[list[float]]:
    """Return the scores of the model, for each of ``keywords``, from a fresh process in a folder of its own."""
    arguments = json.dumps(PAIRS), json.dumps(keywords or [{}])
    values: list[list[float]] = json.loads(run_script(folder / "user", LOAD, model, *arguments))
    return values


@pytest.fixture(scope="module")
def temperature(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], str]:
    """A model that ends in TemperatureLogitScore."""
    folder = tmp_path_factory.mktemp("temperature")
    return build(folder, transformer="from pairchain.modules import Transformer")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], str]:
    """One that begins with CustomTransformer too, which gets the keyword ``task``."""
    folder = tmp_path_factory.mktemp("both")
    made = build(folder, transformer="from custom_transformer import CustomTransformer as Transformer")
    pass_on(made[0], "task")
    return made


def pass_on(model: Path, keyword: str) -> None:
    """Let ``keyword`` reach the first module, as the documentation says: by an edit of ``modules.json``."""
    entries = json.loads((model / "modules.json").read_text())
    entries[0]["kwargs"] = [keyword]
    (model / "modules.json").write_text(json.dumps(entries))


def with_their_imports(model: Path, folder: Path) -> Path:
    """Return a copy of the model whose files import from sentence-transformers, as the documentation has it."""
    copied = Path(shutil.copytree(model, folder / "theirs"))
    for path in code_in(copied):
        text = (copied / path).read_text()
        assert OURS in text
        (copied / path).write_text(text.replace(OURS, THEIRS))
    return copied


def test_the_score_head_runs_and_its_file_is_saved_with_the_model(temperature: tuple[Path, list[float], str]) -> None:
    model, _, head = temperature
    assert code_in(model) == ["temperature_logit_score.py"]
    assert types_of(model) == [
        "sentence_transformers.base.modules.transformer.Transformer",
        "temperature_logit_score.TemperatureLogitScore",
    ]
    assert head == (
        "TemperatureLogitScore({'true_token_id': 314, 'false_token_id': 309, 'temperature': 2.0, "
        "'module_input_name': 'causal_logits'})"
    )


def test_it_loads_in_a_fresh_process_elsewhere_with_equal_scores(
    temperature: tuple[Path, list[float], str], tmp_path: Path
) -> None:
    model, scores, _ = temperature
    assert scores_elsewhere(tmp_path, model) == [scores]


@pytest.mark.parametrize("import_line", ["ours", "theirs"])
def test_the_transformer_gets_the_keywords_that_modules_json_names(
    both: tuple[Path, list[float], str], tmp_path: Path, import_line: str
) -> None:
    model, scores, _ = both
    assert types_of(model)[0] == "custom_transformer.CustomTransformer"
    if import_line == "theirs":
        model = with_their_imports(model, tmp_path)
    plain, default, other = scores_elsewhere(tmp_path, model, {}, {"task": "default"}, {"task": "another"})
    assert plain == other == pytest.approx(scores)
    # twice the logits, before the sigmoid
    assert default == pytest.approx([1 / (1 + (1 / score - 1) ** 2) for score in scores])
    with pytest.raises(UnknownKeywordError, match=r"'tasks' \(did you mean 'task'\?\)"):
        load(model).predict(PAIRS, tasks="default")


def test_with_the_import_line_as_printed_it_gives_the_same_scores(
    temperature: tuple[Path, list[float], str], tmp_path: Path
) -> None:
    model, scores, _ = temperature
    assert load(with_their_imports(model, tmp_path)).predict(PAIRS).tolist() == pytest.approx(scores)


@pytest.mark.peer
def test_a_script_may_build_it_from_the_classes_of_the_installed_library(tmp_path: Path) -> None:
    model, scores, _ = build(tmp_path, imports=THEIRS, transformer="from pairchain.modules import Transformer")
    assert scores_elsewhere(tmp_path, model) == [scores]


def test_pushed_to_the_hub_it_is_pulled_with_equal_scores_by_who_allows_its_code(
    hub: HubServer, temperature: tuple[Path, list[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.tokens.add("hf_writer")
    name = "custom-tests/temperature"
    model, scores, _ = temperature
    load(model).push_to_hub(name, token="hf_writer")
    with pytest.raises(TrustRequiredError, match=r"'temperature_logit_score\.TemperatureLogitScore'") as refused:
        load(name, trust_remote_code=False)
    (approval,) = refused.value.approvals
    assert approval.startswith(f"{name}@")
    assert load(name, trust_remote_code=[approval]).predict(PAIRS).tolist() == scores
    card = Path(load(name).source.require("README.md")).read_text()
    assert f'CrossEncoder("{name}", trust_remote_code=True)' in card
    assert "`temperature_logit_score.py` beside this file" in card
