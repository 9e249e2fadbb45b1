"""Models with files of code that are written for sentence-transformers, and a Python that has not got that library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from torch import nn

from pairchain import CrossEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("a man is eating", "the red planet , mars")]
SWAPPED = [(document, query) for query, document in PAIRS]

_HIDING = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == "sentence_transformers" else found(name, path, target)

# some ask an instance of it
PathFinder.find_spec = staticmethod(find_spec)
"""


@dataclass(frozen=True)
class Written:
    """A golden model of which one module has become ``custom.Custom``.

    Attributes:
        code: The file ``custom.py``.
        case: The golden model.
        index: The module.
        expected: Returns what it scores `PAIRS`, given the golden model.
        files: Text of other files, by path.
    """

    code: str
    case: str
    index: int
    expected: Callable[[CrossEncoder], Any]
    files: tuple[tuple[str, str], ...] = ()


WRITTEN = {
    "preprocess of a Transformer": Written(
        """
        from sentence_transformers.models import Transformer

        class Custom(Transformer):
            def preprocess(self, inputs, prompt=None, processing_kwargs=None, **kwargs):
                swapped = [(document, query) for query, document in inputs]
                return super().preprocess(swapped, prompt=prompt, processing_kwargs=processing_kwargs, **kwargs)
        """,
        "bert_seqcls_1label",
        0,
        lambda golden: golden.predict(SWAPPED),
    ),
    "constructor of a Transformer": Written(
        """
        from sentence_transformers.base.modules import Transformer

        class Custom(Transformer):
            def __init__(self, model_name_or_path, *, transformer_task, modality_config, module_output_name,
                         model_kwargs, processor_kwargs, config_kwargs, unpad_inputs=None, backend="torch"):
                super().__init__(model_name_or_path, transformer_task=transformer_task, model_kwargs=model_kwargs,
                                 processor_kwargs=processor_kwargs, config_kwargs=config_kwargs, backend=backend,
                                 modality_config=modality_config, module_output_name=module_output_name)

            def forward(self, features, **kwargs):
                features = super().forward(features, **kwargs)
                features["scores"] = -features["scores"]
                return features
        """,
        "bert_seqcls_1label",
        0,
        lambda golden: -golden.predict(PAIRS),
    ),
    "load and save of a Transformer": Written(
        """
        import json
        import os
        from sentence_transformers.base.modules.transformer import Transformer

        class Custom(Transformer):
            def __init__(self, model_name_or_path, *, times=1.0, **kwargs):
                super().__init__(model_name_or_path, **kwargs)
                self.times = times

            @classmethod
            def load(cls, model_name_or_path, subfolder="", token=None, cache_folder=None, revision=None,
                     local_files_only=False, trust_remote_code=False, model_kwargs=None, processor_kwargs=None,
                     config_kwargs=None, backend="torch", **kwargs):
                hub = {"subfolder": subfolder, "token": token, "cache_folder": cache_folder, "revision": revision,
                       "local_files_only": local_files_only}
                module = super().load(model_name_or_path=model_name_or_path, trust_remote_code=trust_remote_code,
                                      model_kwargs=model_kwargs, processor_kwargs=processor_kwargs,
                                      config_kwargs=config_kwargs, backend=backend, **hub, **kwargs)
                with open(cls.load_file_path(model_name_or_path, filename="times.json", **hub)) as file:
                    module.times = json.load(file)
                return module

            def save(self, output_path, *args, safe_serialization=True, **kwargs):
                super().save(output_path, *args, safe_serialization=safe_serialization, **kwargs)
                with open(os.path.join(output_path, "times.json"), "w") as file:
                    json.dump(self.times, file)

            def forward(self, features, **kwargs):
                features = super().forward(features, **kwargs)
                features["scores"] = features["scores"] * self.times
                return features
        """,
        "bert_seqcls_1label",
        0,
        lambda golden: 2 * golden.predict(PAIRS),
        files=(("times.json", "2.0"),),
    ),
    "tokenize of an InputModule": Written(
        """
        import torch
        from sentence_transformers.models.InputModule import InputModule

        class Custom(InputModule):
            config_keys = ["dim", "boost"]

            def __init__(self, dim, boost=1.0):
                super().__init__()
                self.dim, self.boost = dim, boost
                self.linear = torch.nn.Linear(dim, 1)

            def tokenize(self, texts, **kwargs):
                rows = torch.zeros(len(texts), self.dim)
                for row, (query, document) in zip(rows, texts):
                    for position, letter in enumerate(query + "|" + document):
                        row[(ord(letter) * 7 + position) % self.dim] += 1
                return {"bag": rows}

            def forward(self, features, **kwargs):
                features["scores"] = self.linear(features["bag"]) * self.boost * 2
                return features

            def save(self, output_path, *args, safe_serialization=True, **kwargs):
                self.save_config(output_path)
                self.save_torch_weights(output_path, safe_serialization=safe_serialization)
                self.save_tokenizer(output_path)

            @classmethod
            def load(cls, model_name_or_path, subfolder="", token=None, cache_folder=None, revision=None,
                     local_files_only=False, **kwargs):
                hub = dict(subfolder=subfolder, token=token, cache_folder=cache_folder, revision=revision,
                           local_files_only=local_files_only)
                module = cls(**cls.load_config(model_name_or_path, config_filename="config.json", **hub))
                return cls.load_torch_weights(model_name_or_path=model_name_or_path, model=module, **hub)
        """,
        "custom_input_module",
        0,
        lambda golden: 2 * golden.predict(PAIRS),
    ),
    "weights of a Module": Written(
        """
        import torch
        from torch import nn, Tensor
        from sentence_transformers.models.Module import Module

        class Custom(Module):
            config_keys: list[str] = ["in_features", "out_features"]

            def __init__(self, in_features: int, out_features: int, **kwargs) -> None:
                super().__init__()
                self.in_features, self.out_features = in_features, out_features
                self.linear = nn.Linear(in_features, out_features)

            def forward(self, features: dict[str, Tensor], **kwargs) -> dict[str, Tensor]:
                features.update({"scores": 2 * self.linear(features["sentence_embedding"])})
                return features

            def save(self, output_path: str, *args, safe_serialization: bool = True, **kwargs) -> None:
                self.save_config(output_path)
                self.save_torch_weights(output_path, safe_serialization=safe_serialization)

            @classmethod
            def load(cls, model_name_or_path: str, **kwargs):
                hub_kwargs = {key: kwargs[key] for key in (
                    "subfolder", "token", "cache_folder", "revision", "local_files_only")}
                module = cls(**cls.load_config(model_name_or_path=model_name_or_path, **hub_kwargs))
                module.load_state_dict(cls.load_torch_weights(model_name_or_path=model_name_or_path, **hub_kwargs))
                return module
        """,
        "pooling_mean",
        2,
        lambda golden: 2 * golden.predict(PAIRS),
    ),
    "load of a Dense": Written(
        """
        from sentence_transformers.models.Dense import Dense as Base

        class Custom(Base):
            times = 1.0

            @classmethod
            def load(cls, model_name_or_path, subfolder="", token=None, cache_folder=None, revision=None,
                     local_files_only=False, trust_remote_code=False, **kwargs):
                module = super().load(model_name_or_path, subfolder=subfolder, token=token, cache_folder=cache_folder,
                                      revision=revision, local_files_only=local_files_only,
                                      trust_remote_code=trust_remote_code, **kwargs)
                module.times = 2.0
                return module

            def forward(self, features):
                features = super().forward(features)
                features[self.module_output_name] = self.times * features[self.module_output_name]
                return features
        """,
        "pooling_mean",
        2,
        lambda golden: 2 * golden.predict(PAIRS),
    ),
    "forward of a Pooling": Written(
        """
        from sentence_transformers import models

        class Custom(models.Pooling):
            def forward(self, features, **kwargs):
                features = super().forward(features, **kwargs)
                features["sentence_embedding"] = -features["sentence_embedding"]
                return features
        """,
        "pooling_mean",
        1,
        lambda golden: 2 * golden[2].linear.bias.item() - golden.predict(PAIRS),
    ),
    "forward of a Normalize": Written(
        """
        import sentence_transformers.base.modules.normalize as normalize

        class Custom(normalize.Normalize):
            def forward(self, features):
                features["sentence_embedding"] = 10 * features["sentence_embedding"]
                return super().forward(features)
        """,
        "chain_normalize_layernorm_dense",
        3,
        lambda golden: golden.predict(PAIRS),
    ),
    "forward of a LogitScore": Written(
        """
        from sentence_transformers.cross_encoder.modules.logit_score import LogitScore

        class Custom(LogitScore):
            def forward(self, features, **kwargs):
                features[self.module_input_name] = features[self.module_input_name] * 2
                return super().forward(features, **kwargs)
        """,
        "qwen3_causal_logitscore",
        1,
        lambda golden: 2 * golden.predict(PAIRS),
    ),
    "forward of a Router": Written(
        """
        from sentence_transformers.models import Router

        class Custom(Router):
            def forward(self, features, task=None, **kwargs):
                features = super().forward(features, task=task, **kwargs)
                features["scores"] = features["scores"] * 2
                return features
        """,
        "router_by_task",
        0,
        lambda golden: 2 * golden.predict(PAIRS),
    ),
}


def write(name: str, folder: Path) -> Path:
    """Return the model ``name`` of `WRITTEN`, written into ``folder``."""
    written = WRITTEN[name]
    model = Path(shutil.copytree(GOLDEN / written.case / "model", folder / "model"))
    for path, text in (("custom.py", dedent(written.code)), *written.files):
        (model / path).write_text(text)
    entries = json.loads((model / "modules.json").read_text())
    entries[written.index]["type"] = "custom.Custom"
    (model / "modules.json").write_text(json.dumps(entries))
    return model


def write_head(folder: Path, imports: str) -> Path:
    """Return a model whose last module is a ``Head`` of ``head.py``, which subclasses the ``Module`` it ``imports``."""
    head = """
    class Head(Module):
        def forward(self, features, **kwargs):
            features["scores"] = features["sentence_embedding"].sum(1, keepdim=True)
            return features

        def save(self, output_path, *args, safe_serialization=True, **kwargs):
            self.save_config(output_path)
    """
    model = Path(shutil.copytree(GOLDEN / "pooling_mean" / "model", folder / "model"))
    (model / "head.py").write_text(f"{dedent(imports)}\n{dedent(head)}")
    entries = json.loads((model / "modules.json").read_text())
    entries[2].update(type="head.Head", path="2_Head")
    (model / "2_Head").mkdir()
    (model / "modules.json").write_text(json.dumps(entries))
    return model


def load(model: Path, **options: Any) -> CrossEncoder:
    """Return the model in a folder, its code trusted, with its scores as they come."""
    return CrossEncoder(
        model, **{"device": "cpu", "trust_remote_code": True, "activation_fn": nn.Identity(), **options}
    )


def scores(model: CrossEncoder) -> list[float]:
    """Return what ``model`` scores `PAIRS`; a head of code may give each score an axis of its own."""
    values: list[float] = np.reshape(model.predict(PAIRS), -1).tolist()
    return values


def without_library(site: Path) -> Path:
    """Return ``site`` after making it a folder that hides sentence-transformers from a Python that has it on its path.

    The processes that such a Python starts have not got the library either.
    """
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(_HIDING)
    return site
