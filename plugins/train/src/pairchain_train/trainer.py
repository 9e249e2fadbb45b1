"""PairTrainer: the Trainer of transformers, for chains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import HubStrategy

from pairchain import CrossEncoder, registry
from pairchain.authoring import SCORES, parameters_of_loss
from pairchain.errors import ChainError, InputError, warn
from pairchain_train import checkpoints
from pairchain_train.adapters import has_adapters, ready_to_save, save_chain
from pairchain_train.batches import PairBatches
from pairchain_train.card import training_section
from pairchain_train.collator import PairCollator
from pairchain_train.data.examples import Example, as_lists, as_pairs, examples_of
from pairchain_train.ranking import Rankings
from pairchain_train.recomputing import recomputing

Loss = Callable[..., torch.Tensor]

# The best of these is what `metric_for_best_model` means unless you choose.
_BEST = "nDCG@10"


class PairTrainer(Trainer):
    """Trains a chain on pairs, triplets or lists.

    It differs from the Trainer of transformers in what a batch is: ``per_device_train_batch_size`` counts the pairs of
    an update, whose gradients are accumulated over parts of at most ``tokens_per_batch`` tokens. Everything else is
    the Trainer's: its arguments, callbacks, schedules, checkpoints and resuming.

    Args:
        model: The chain. After training it scores as the saved chain does.
        args: Arguments of the Trainer; None for its defaults.
        train_dataset: Examples, or rows as `examples_of` reads them. A loss of pairs takes lists apart, and a loss of
            lists gathers the pairs of a query.
        eval_dataset: Examples for the loss when it evaluates, or the `Rankings` that it computes metrics of.
        loss: The name of an installed loss, or a function with its arguments; see `pairchain_train.losses`.
        loss_options: Keyword arguments of the loss.
        tokens_per_batch: Most tokens that run together, padding included; None for no limit but the update's. A list of
            documents stays whole.
        in_batch_negatives: For a loss of lists, documents of other queries to add to each list.
        prompt: Put before the pairs; None for the model's default.
        adapters: How trained adapters are saved: "merged" into the weights, or as "adapter" files.
        data_name: What the model card calls the training data.
        **options: As for the Trainer: callbacks, optimizers and so on.

    Raises:
        InputError: An argument is wrong; or no parameter of the model is trained.
        UnknownNameError: No installed plugin provides the loss.
    """

    def __init__(
        self,
        model: CrossEncoder,
        args: TrainingArguments | None = None,
        train_dataset: Iterable[Any] | None = None,
        eval_dataset: Iterable[Any] | Rankings | None = None,
        *,
        loss: str | Loss = "bce",
        loss_options: Mapping[str, Any] | None = None,
        tokens_per_batch: int | None = None,
        in_batch_negatives: int = 0,
        prompt: str | None = None,
        adapters: str = "merged",
        data_name: str = "",
        **options: Any,
    ) -> None:
        self.loss_name, found = _loss_of(loss, loss_options or {})
        self.loss = partial(found, **(loss_options or {}))
        self.loss_options = dict(loss_options or {})
        self.takes_lists = "mask" in parameters_of_loss(found)
        self.rankings = eval_dataset if isinstance(eval_dataset, Rankings) else None
        self.adapters, self.data_name = adapters, data_name
        if adapters not in ("merged", "adapter"):
            raise InputError(f"adapters is {adapters!r}.", next_step="pass merged or adapter.")
        args = TrainingArguments("trained") if args is None else args
        # the Trainer would look for the columns that a forward of transformers takes
        args.remove_unused_columns, args.label_names = False, ["labels"]
        if args.load_best_model_at_end and args.metric_for_best_model == "loss" and self.rankings is not None:
            args.metric_for_best_model, args.greater_is_better = _BEST, True
        self.collator = PairCollator(
            model,
            lists=self.takes_lists,
            tokens_per_batch=tokens_per_batch,
            in_batch_negatives=in_batch_negatives,
            prompt=prompt,
            seed=args.seed,
        )
        # nothing but the library's own model has gradients
        model.train()
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError("no parameter of the model is trained.", next_step="freeze less of it.")
        if args.push_to_hub and args.hub_strategy != HubStrategy.END:
            # the Trainer would push the weights of its checkpoints, which are no model
            asked = HubStrategy(args.hub_strategy).value
            warn(f"the model is pushed when you save or push it, not as hub_strategy={asked!r} says.")
            args.hub_strategy = HubStrategy.END
        if args.n_gpu > 1:
            # the Trainer would copy the chain to every device; torchrun starts a process for each instead
            args._n_gpu = 1
        evaluated: Any = eval_dataset
        if eval_dataset is not None and not isinstance(eval_dataset, Rankings):
            evaluated = self._arranged(eval_dataset, "eval_dataset")
        with checkpoints.keeping_configuration(model):
            super().__init__(
                cast(Any, model),
                args,
                cast(Any, self.collator),
                None if train_dataset is None else cast(Any, self._arranged(train_dataset, "train_dataset")),
                evaluated,
                **options,
            )
        # an update's loss is the mean over its examples, whatever parts they run in
        self.model_accepts_loss_kwargs = False
        self._measured: dict[int, dict[str, float]] = {}

    # -- data ---------------------------------------------------------------------------------------------------------

    def _arranged(self, data: Iterable[Any], title: str) -> list[Example]:
        examples = examples_of(data, title=title)
        return as_lists(examples) if self.takes_lists else as_pairs(examples)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of batches, each of which is one update."""
        if self.train_dataset is None:
            raise InputError("there is nothing to train on.", next_step="pass a train_dataset.")
        return self._loader(cast(Any, self.train_dataset), self.args.train_batch_size, self.args.seed)

    def _loader(self, examples: Sequence[Example], pairs: int, seed: int | None) -> DataLoader[Any]:
        loader = DataLoader(
            cast(Any, examples),
            batch_sampler=PairBatches([len(example.documents) for example in examples], pairs, seed),
            collate_fn=self.collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    # -- training -----------------------------------------------------------------------------------------------------

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train, and leave the chain ready to score; see the Trainer's ``train``.

        Args:
            resume_from_checkpoint: A checkpoint; or True for the last complete one in the output folder, or a new start
                if there is none.
            *args, **kwargs: As for the Trainer.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = checkpoints.last_complete(str(self.args.output_dir))
        try:
            with recomputing(self.chain, self.args):
                return super().train(resume_from_checkpoint, *args, **kwargs)
        finally:
            self.leave_training()

    def leave_training(self) -> None:
        """Take from the chain what training put into it, so that it scores as before, with its new weights."""
        # in mixed precision accelerate puts a forward into the chain, which a copy would call on this chain
        self.accelerator.unwrap_model(self.model_wrapped, keep_fp32_wrapper=False)
        self.model_wrapped = cast(Any, self.model)
        for name in ("forward", "_is_accelerate_prepared"):
            vars(self.chain).pop(name, None)
        self.chain.zero_grad(set_to_none=True)
        self.chain.eval()

    @property
    def chain(self) -> CrossEncoder:
        """The chain that is trained."""
        return cast(CrossEncoder, self.model)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Run one batch forward and backward, part by part, and return its loss."""
        model.train()
        if callable(ready := getattr(self.optimizer, "train", None)):
            ready()
        total = torch.zeros((), device=self.args.device)
        for number, part in enumerate(inputs["parts"], 1):
            # processes may have different numbers of parts, and exchange gradients with the last one
            is_last = number == len(inputs["parts"])
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, self._prepare_inputs(part)) * part["share"]
                loss = loss / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of one part of a batch, with the logits if ``return_outputs``; see `PairCollator`."""
        scores = model(dict(inputs["features"]))[SCORES]
        logits = scores.squeeze(-1) if scores.ndim == 2 and scores.shape[1] == 1 else scores
        labels, mask = inputs["labels"].to(logits.device), inputs["mask"]
        if mask is not None:
            if logits.ndim != 1:
                raise ChainError(
                    f"the loss {self.loss_name!r} takes lists, but the model gives a pair {logits.shape[1]} scores.",
                    next_step="choose a loss of pairs, or load the model with num_labels=1.",
                )
            mask = mask.to(logits.device)
            logits = torch.zeros(mask.shape, dtype=logits.dtype, device=logits.device).masked_scatter(mask, logits)
        loss = self._value(logits, labels, mask)
        return (loss, {"logits": logits}) if return_outputs else loss

    def _value(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        try:
            return self.loss(logits, labels) if mask is None else self.loss(logits, labels, mask)
        except (ValueError, RuntimeError) as error:
            shapes = f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)}"
            raise InputError(
                f"the loss {self.loss_name!r} failed with {shapes}: {error}",
                next_step="choose a loss for these labels, or label each pair as the loss needs it.",
            ) from error

    # -- evaluating ---------------------------------------------------------------------------------------------------

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Return the loss on examples, or the metrics of rankings, and tell the callbacks; see the Trainer's."""
        data: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        if data is None:
            raise InputError("there is nothing to evaluate on.", next_step="pass an eval_dataset.")
        if isinstance(data, Rankings):
            found = data.evaluate(self.chain)
        else:
            found = {"loss": self._mean_loss(self._arranged(data, "eval_dataset"))}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self._measured[self.state.global_step] = dict(metrics)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @torch.no_grad()
    def _mean_loss(self, examples: Sequence[Example]) -> float:
        model: nn.Module = self.model_wrapped
        model.eval()
        total = 0.0
        batches = PairBatches([len(example.documents) for example in examples], self.args.eval_batch_size, None)
        for places in batches:
            some = [examples[place] for place in places]
            for part in self.collator(some)["parts"]:
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, self._prepare_inputs(part))
                total += float(loss) * part["share"] * len(some)
        return total / len(examples)

    @property
    def history(self) -> dict[int, dict[str, float]]:
        """What it measured, by the number of updates, also before a training was interrupted."""
        logged = {
            int(row["step"]): {name: value for name, value in row.items() if name.startswith("eval_")}
            for row in self.state.log_history
            if any(name.startswith("eval_") for name in row)
        }
        return dict(sorted({**logged, **self._measured}.items()))

    # -- saving -------------------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save the chain itself, with a card that tells how it was trained."""
        if not self.args.should_save:
            return
        folder = str(output_dir or self.args.output_dir)
        save_chain(self.chain, folder, adapters=self.adapters, card_sections=[training_section(self)])

    def push_to_hub(
        self,
        commit_message: str | None = None,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **card: Any,
    ) -> Any:
        """Push the chain as one commit, with a card that tells how it was trained; return the commit's URL.

        Args:
            commit_message: The commit's first line.
            blocking: Must be True.
            token, revision, private: As for `CrossEncoder.push_to_hub`; None for what the Trainer's arguments say.
            **card: The Trainer's fields of a model card, which this card does not have.

        Raises:
            InputError: The push shall go on in the background, or the card shall have other fields.
            FormatError, SourceError: As for `CrossEncoder.push_to_hub`.
        """
        if card or not blocking:
            name = next(iter(card), "blocking")
            raise InputError(f"push_to_hub takes no {name} here.", next_step="edit the card after the push.")
        if not self.is_world_process_zero():
            return None
        args = self.args
        return ready_to_save(self.chain, self.adapters).push_to_hub(
            args.hub_model_id or Path(str(args.output_dir)).name,
            token=token or args.hub_token,
            private=args.hub_private_repo if private is None else private,
            revision=revision or args.hub_revision,
            exist_ok=True,
            commit_message=commit_message or "Train a chain",
            replace_model_card=True,
            card_sections=[training_section(self)],
        )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        os.makedirs(folder, exist_ok=True)
        if self.args.should_save:
            checkpoints.save_weights(self.chain, folder)
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            # the Trainer may have removed it as one too many
            checkpoints.mark_complete(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        checkpoints.load_weights(self.chain, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        checkpoints.load_weights(self.chain, Path(str(self.state.best_model_checkpoint)))

    @property
    def trains_adapters(self) -> bool:
        """Whether the chain has adapters."""
        return has_adapters(self.chain)


def _loss_of(loss: str | Loss, options: Mapping[str, Any]) -> tuple[str, Loss]:
    """Return the name of a loss, and the loss; refuse options that it does not have."""
    if isinstance(loss, str):
        name, found = loss, registry.losses.load(loss)
    else:
        name, found = getattr(loss, "__name__", type(loss).__name__), loss
        if fault := registry.losses.group.fault(loss):
            raise InputError(f"the loss {name!r} {fault}.")
    known = parameters_of_loss(found)
    for option in options:
        if option not in known or option in ("logits", "labels", "mask"):
            more = [key for key in known if key not in ("logits", "labels", "mask")]
            raise InputError(
                f"the loss {name!r} has no option {option!r}.",
                next_step=f"it has {', '.join(more)}." if more else "it has no options.",
            )
    return name, found
