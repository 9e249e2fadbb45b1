"""How a training tells its progress in the command: a line now and then, instead of the Trainer's bars and dicts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments

from pairchain.authoring import duration

if TYPE_CHECKING:
    from pairchain_train.trainer import PairTrainer

# A line so often; the first comes soon, because it tells how long the rest takes.
_SECONDS = 10.0


def quiet_arguments(folder: Path, **options: Any) -> TrainingArguments:
    """Return arguments of the Trainer that report to no service, and keep two checkpoints in ``folder``."""
    usual = {
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 0.02,
        "log_level": "error",
        "save_strategy": "steps",
        "save_total_limit": 2,
        "dataloader_pin_memory": not options.get("use_cpu", False),
    }
    return TrainingArguments(str(folder), **{**usual, **options})


def quiet_callbacks(trainer: PairTrainer, note: Callable[[str], None]) -> None:
    """Let ``trainer`` tell its progress through ``note``."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(_Notes(note))


class _Notes(TrainerCallback):
    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._start = self._last = time.monotonic()
        self._first_step = 0
        self._loss = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start = self._last = time.monotonic()
        self._first_step = state.global_step
        done = f", {state.global_step:,} of them done before" if state.global_step else ""
        self._note(f"training for {state.max_steps:,} update{'' if state.max_steps == 1 else 's'}{done}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._loss = f", loss {float(logs['loss']):.4f}"
        measured = {name: value for name, value in (logs or {}).items() if name.startswith("eval_")}
        if measured:
            shown = ", ".join(f"{name.removeprefix('eval_')} {float(value):.4f}" for name, value in measured.items())
            self._note(f"after {state.global_step:,} updates: {shown}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if now - self._last < _SECONDS:
            return
        self._last = now
        each = (now - self._start) / max(1, state.global_step - self._first_step)
        left = duration(1e9 * each * (state.max_steps - state.global_step))
        self._note(f"{state.global_step:,} of {state.max_steps:,} updates{self._loss}, {left} left")
