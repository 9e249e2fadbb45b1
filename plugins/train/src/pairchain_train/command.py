"""`pairchain train`: fine-tunes a model, and saves it once the training is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairchain.authoring import read_json_object
from pairchain.errors import InputError
from pairchain_cli.authoring import ModelOptions, expand_options, load_model, note, write
from pairchain_train.options import DataOptions, PartOptions, TrainingOptions

if TYPE_CHECKING:
    from pairchain import CrossEncoder
    from pairchain_train.data.examples import Example
    from pairchain_train.ranking import Rankings
    from pairchain_train.trainer import PairTrainer

_SETTINGS = "train_settings.json"


@expand_options
def train(
    options: ModelOptions,
    data: DataOptions,
    training: TrainingOptions,
    parts: PartOptions,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="New folder for the model.", show_default=False)
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted, from its last checkpoint.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Fine-tune a model on pairs, triplets or lists.

    FOLDER is created only once training is complete. Until then, checkpoints are beside it, in FOLDER.unfinished.
    """
    if resume and output.is_dir() and not _unfinished(output).exists() and any(output.iterdir()):
        note(f"{output} is already complete. To train again, name a new folder.")
        return
    settings = _settings_of(options, data, training, parts)
    unfinished = _working_folder(output, resume, settings)
    _check_loss(training)
    examples, rankings = _examples(data, data.data), _rankings(data)
    model = _model(options, training, parts)
    trainer = _trainer(model, examples, rankings, unfinished, data, training, parts)
    if not (unfinished / _SETTINGS).exists():
        (unfinished / _SETTINGS).write_text(json.dumps(settings, indent=2), encoding="utf-8")
    before = {} if rankings is None else trainer.evaluate()
    try:
        trainer.train(resume_from_checkpoint=resume)
    except KeyboardInterrupt:
        note(f"Checkpoints are in {unfinished}; add --resume to go on after the last one.")
        raise
    after = {} if rankings is None else trainer.evaluate()
    # the folder appears once it is complete, and the card names it
    trainer.save_model(str(output))
    shutil.rmtree(unfinished)
    _tell(output, trainer.state.global_step, before, after, as_json=as_json)


def _unfinished(output: Path) -> Path:
    return output.with_name(f"{output.name}.unfinished")


def _working_folder(output: Path, resume: bool, settings: Mapping[str, Any]) -> Path:
    """Return the folder for checkpoints, after checking that it fits what is asked."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists and is not empty.", next_step="name a new folder, or move it away.")
    folder = _unfinished(output)
    if not (folder / _SETTINGS).exists():
        return folder
    if not resume:
        raise InputError(
            f"{folder} holds a training that was interrupted.", next_step="add --resume to go on, or remove it."
        )
    before = read_json_object(folder / _SETTINGS, shown_as=str(folder / _SETTINGS))
    if changed := [name for name in settings if before.get(name) != settings[name]]:
        named = f"--{changed[0].replace('_', '-')}"
        raise InputError(
            f"{folder} was begun with other settings: {named} was {before.get(changed[0])}.",
            next_step="repeat the options of the first call, or remove the folder to begin anew.",
        )
    return folder


def _settings_of(*groups: Any) -> dict[str, Any]:
    """Return the settings that decide the result, as JSON."""
    values = {name: value for group in groups for name, value in asdict(group).items()}
    left_out = ("device", "threads", "cache_folder", "local_files_only", "metrics", "tokens_per_batch")
    kept = {name: value for name, value in values.items() if name not in left_out}
    result: dict[str, Any] = json.loads(json.dumps(kept, default=os.fspath))
    return result


def _check_loss(training: TrainingOptions) -> None:
    """Refuse a loss that no plugin provides before anything is loaded."""
    from pairchain import registry

    if registry.losses.lookup(training.loss) is None and registry.losses.registered(training.loss) is None:
        raise registry.losses.unknown(training.loss)


def _loss_options(given: list[str] | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError as error:
            raise typer.BadParameter(f"{text!r} is not KEY=NUMBER", param_hint="--loss-option") from error
        found[name.replace("-", "_")] = int(number) if number.is_integer() and "." not in value else number
    return found


def _examples(data: DataOptions, place: str) -> list[Example]:
    if _is_run(place):
        from pairchain_train.data.mining import mine_from_files

        files = _files_of_run(data, place)
        return mine_from_files(*files, negatives=data.negatives, skip=data.skip_ranks, depth=data.depth)
    from pairchain_train.data.reading import read_examples

    return read_examples(place)


def _rankings(data: DataOptions) -> Rankings | None:
    if data.dev is None:
        return None
    from pairchain_train.ranking import Rankings

    metrics = [name.strip() for name in data.metrics.split(",")]
    if _is_run(data.dev):
        return Rankings.of_files(*_files_of_run(data, data.dev), depth=data.depth, metrics=metrics)
    return Rankings.of(_examples(data, data.dev), metrics=metrics)


def _is_run(place: str) -> bool:
    return "+" in place and not Path(place).exists()


def _files_of_run(data: DataOptions, place: str) -> tuple[Path, Path, Path, Path]:
    run, _, judgements = place.partition("+")
    if data.queries is None or data.documents is None:
        absent = "--queries" if data.queries is None else "--documents"
        raise InputError(f"{place} has no texts.", next_step=f"add {absent} FILE.")
    return Path(run), Path(judgements), data.queries, data.documents


def _model(options: ModelOptions, training: TrainingOptions, parts: PartOptions) -> CrossEncoder:
    from transformers import set_seed

    # a new head is random
    set_seed(training.seed)
    more = {} if parts.num_labels is None else {"num_labels": parts.num_labels}
    model = load_model(options) if not more else _with_new_head(options, more)
    if parts.lora is not None:
        from pairchain_train.adapters import add_lora

        add_lora(model, rank=parts.lora, targets=parts.lora_target)
    elif parts.lora_target or parts.save_adapter:
        option = "--lora-target" if parts.lora_target else "--save-adapter"
        raise InputError(f"{option} needs an adapter.", next_step="add --lora RANK.")
    from pairchain_train.freezing import freeze, train_only

    if parts.train_only:
        train_only(model, *parts.train_only)
    if parts.freeze:
        freeze(model, *parts.freeze)
    return model


def _with_new_head(options: ModelOptions, more: Mapping[str, Any]) -> CrossEncoder:
    from pairchain import CrossEncoder
    from pairchain_cli.authoring import unchecked_keywords

    return CrossEncoder(options.model, **{**unchecked_keywords(options), **more})


def _trainer(
    model: CrossEncoder,
    examples: list[Example],
    rankings: Rankings | None,
    folder: Path,
    data: DataOptions,
    training: TrainingOptions,
    parts: PartOptions,
) -> PairTrainer:
    from pairchain_train.progress import quiet_arguments, quiet_callbacks
    from pairchain_train.trainer import PairTrainer

    is_selecting = training.every is not None and rankings is not None
    arguments = quiet_arguments(
        folder,
        use_cpu=model.device.type == "cpu",
        num_train_epochs=training.epochs,
        max_steps=training.most_updates or -1,
        per_device_train_batch_size=training.pairs,
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup,
        lr_scheduler_type=training.schedule,
        seed=training.seed,
        bf16=training.bf16,
        save_steps=training.every or 0.1,
        eval_strategy="steps" if is_selecting else "no",
        eval_steps=training.every if is_selecting else None,
        load_best_model_at_end=is_selecting,
        metric_for_best_model=data.metrics.split(",")[0].strip() if is_selecting else None,
        greater_is_better=True if is_selecting else None,
    )
    trainer = PairTrainer(
        model,
        arguments,
        examples,
        rankings,
        loss=training.loss,
        loss_options=_loss_options(training.loss_option),
        tokens_per_batch=training.tokens_per_batch,
        in_batch_negatives=training.in_batch_negatives,
        adapters="adapter" if parts.save_adapter else "merged",
        data_name=os.path.basename(data.data),
    )
    quiet_callbacks(trainer, note)
    return trainer


def _tell(
    output: Path, updates: int, before: Mapping[str, float], after: Mapping[str, float], *, as_json: bool
) -> None:
    metrics = {name.removeprefix("eval_"): (before.get(name), value) for name, value in after.items() if "_" in name}
    if as_json:
        told = {name: {"before": first, "after": last} for name, (first, last) in metrics.items()}
        write(json.dumps({"folder": str(output), "updates": updates, "metrics": told}))
    else:
        for name, (first, last) in metrics.items():
            write(f"{name:<12} {first:.4f} before, {last:.4f} after")
    note(f"wrote {output}")
