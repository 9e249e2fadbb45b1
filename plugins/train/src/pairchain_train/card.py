"""What the card of a trained model says of its training: the data, the loss, the settings and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairchain.authoring import installed_version, on_one_line

_LONGEST = 200


def training_section(trainer: Any) -> str:
    """Return the section on what a `PairTrainer` did, in Markdown."""
    args, state = trainer.args, trainer.state
    data: Any = trainer.train_dataset or []
    pairs = sum(len(example.documents) for example in data)
    name = f"`{on_one_line(trainer.data_name, _LONGEST)}`: " if trainer.data_name else ""
    size = (
        f"{_counted(len(data), 'list')}, {_counted(pairs, 'pair')}" if trainer.takes_lists else _counted(pairs, "pair")
    )
    options = "".join(f", {key} {value}" for key, value in trainer.loss_options.items())
    precision = "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"
    all_parameters = list(trainer.chain.parameters())
    trained = sum(one.numel() for one in all_parameters if one.requires_grad)
    total = sum(one.numel() for one in all_parameters)
    schedule = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    facts = {
        "data": f"{name}{size}" if data else "not recorded",
        "loss": f"`{trainer.loss_name}`{options}",
        "updates": f"{state.global_step:,}, of {_counted(args.train_batch_size, 'pair')} each; "
        f"{_counted(state.epoch or 0, 'epoch')}",
        "learning rate": f"{args.learning_rate:g}, {schedule}, warm-up {args.warmup_steps:g}",
        "trained parameters": f"{trained:,} of {total:,}" + (", with LoRA" if trainer.trains_adapters else ""),
        "precision": precision,
        "seed": str(args.seed),
        "libraries": f"pairchain-train {installed_version('pairchain-train')}, transformers "
        f"{installed_version('transformers')}",
    }
    lines = ["## Training", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())]
    return "\n".join([*lines, *_metrics(trainer.history, trainer)])


def _metrics(history: Mapping[int, Mapping[str, float]], trainer: Any) -> list[str]:
    if not history:
        return []
    # the first and the last
    steps = sorted({min(history), max(history)})
    names = list(history[steps[-1]])
    rankings = trainer.rankings
    on = ""
    if rankings is not None:
        on = f" on {_counted(len(rankings), 'query', 'queries')} with {_counted(rankings.pairs, 'document')}"
    rows = [f"| {step:,} | {' | '.join(_cell(history[step].get(name)) for name in names)} |" for step in steps]
    heads = " | ".join(name.removeprefix("eval_") for name in names)
    head = [f"| updates | {heads} |", "|---" * (len(names) + 1) + "|"]
    return ["", f"Metrics{on}, by the number of updates:", "", *head, *rows]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _counted(number: float, noun: str, plural: str = "") -> str:
    shown = f"{number:,.2f}".rstrip("0").rstrip(".")
    return f"{shown} {noun if number == 1 else plural or f'{noun}s'}"
