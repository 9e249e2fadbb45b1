"""The options of `pairchain train`. Importing them does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


def _panel(title: str) -> Any:
    def option(*names: str, help: str, **more: Any) -> Any:
        return typer.Option(*names, help=help, rich_help_panel=title, **{"show_default": True, **more})

    return option


_data, _training, _parts = _panel("Data"), _panel("Training"), _panel("What is trained")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The examples, and what the model is evaluated on."""

    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A .jsonl, .csv, .tsv or .parquet file, a saved data set, datasets:NAME, or RUN+QRELS to mine "
            "negatives from a TREC run.",
            show_default=False,
        ),
    ]
    dev: Annotated[
        str | None,
        _data(
            "--dev",
            metavar="DATA",
            help="What to evaluate on: RUN+QRELS, or a file whose labels are grades.",
            show_default=False,
        ),
    ] = None
    queries: Annotated[
        Path | None,
        _data("--queries", metavar="FILE", help="Texts of queries, for RUN+QRELS: .tsv or .jsonl.", show_default=False),
    ] = None
    documents: Annotated[
        Path | None,
        _data(
            "--documents", metavar="FILE", help="Texts of documents, for RUN+QRELS: .tsv or .jsonl.", show_default=False
        ),
    ] = None
    negatives: Annotated[int, _data("--negatives", help="Negatives to mine for each relevant document.", min=1)] = 7
    skip_ranks: Annotated[
        int, _data("--skip-ranks", help="Ranks at the top of the run to mine no negatives from.", min=0)
    ] = 0
    depth: Annotated[int, _data("--depth", help="Documents of each query to read from a run.", min=1)] = 100
    metrics: Annotated[
        str, _data("--metrics", metavar="NAMES", help="Metrics as ir-measures names them, separated by commas.")
    ] = "nDCG@10,RR@10,AP"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The loss and the course of the training."""

    loss: Annotated[str, _training("--loss", metavar="NAME", help="An installed loss.")] = "bce"
    loss_option: Annotated[
        list[str] | None,
        _training(
            "--loss-option",
            metavar="KEY=NUMBER",
            help="An option of the loss. Repeat it for each.",
            show_default=False,
        ),
    ] = None
    epochs: Annotated[float, _training("--epochs", help="Passes over the data.", min=0)] = 1.0
    most_updates: Annotated[
        int | None,
        _training("--max-updates", metavar="NUMBER", help="End after so many updates.", min=1, show_default=False),
    ] = None
    learning_rate: Annotated[float, _training("--learning-rate", help="The largest learning rate.", min=0)] = 2e-5
    warmup: Annotated[float, _training("--warmup", help="Share of updates before it is reached.", min=0, max=1)] = 0.1
    schedule: Annotated[str, _training("--schedule", help="How it falls: linear, cosine, constant_with_warmup.")] = (
        "linear"
    )
    pairs: Annotated[int, _training("--pairs-per-update", help="Pairs whose gradients are one update.", min=1)] = 32
    tokens_per_batch: Annotated[
        int | None,
        _training(
            "--tokens-per-batch",
            metavar="NUMBER",
            help="Most tokens that run together, padding included. Default: those of an update.",
            min=1,
            show_default=False,
        ),
    ] = None
    in_batch_negatives: Annotated[
        int, _training("--in-batch-negatives", help="Documents of other queries to add to each list.", min=0)
    ] = 0
    seed: Annotated[int, _training("--seed", help="Decides the order of the data, and new weights.")] = 42
    bf16: Annotated[bool, _training("--bf16", help="Compute in bfloat16; the weights stay float32.")] = False
    every: Annotated[
        int | None,
        _training(
            "--every",
            metavar="UPDATES",
            help="Evaluate and write a checkpoint so often, and keep the best. Default: a checkpoint ten times.",
            min=1,
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """The parts of the model that are trained."""

    freeze: Annotated[
        list[str] | None,
        _parts(
            "--freeze", metavar="NAME", help="A part that stays, such as 0.model.bert.embeddings.", show_default=False
        ),
    ] = None
    train_only: Annotated[
        list[str] | None,
        _parts("--train-only", metavar="NAME", help="A part that is trained, and no other.", show_default=False),
    ] = None
    lora: Annotated[
        int | None,
        _parts("--lora", metavar="RANK", help="Train LoRA matrices of this rank.", min=1, show_default=False),
    ] = None
    lora_target: Annotated[
        list[str] | None,
        _parts(
            "--lora-target",
            metavar="NAME",
            help="A linear layer that gets one, such as query. Default: all.",
            show_default=False,
        ),
    ] = None
    save_adapter: Annotated[
        bool, _parts("--save-adapter", help="Save the adapter, which names the model that it adapts; else merge it.")
    ] = False
    num_labels: Annotated[
        int | None,
        _parts("--num-labels", metavar="NUMBER", help="Scores of a new head.", min=1, show_default=False),
    ] = None
