"""CrossEncoder: loads a chain, scores pairs, ranks documents, saves the chain."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from pairchain import hooks
from pairchain.backends import DEFAULT, check_backend
from pairchain.chain.device import checked_device, keep_in_float32, place
from pairchain.code.patches import undoing_patches
from pairchain.engine.legacy import (
    INIT_NESTED,
    INIT_POSITIONAL,
    INIT_RENAMES,
    OlderNames,
    accepts_older_arguments,
)
from pairchain.engine.scorer import Scorer
from pairchain.errors import ChainError, InputError, UnknownKeywordError
from pairchain.files.source import Source
from pairchain.format import activation
from pairchain.format.activation import Activation
from pairchain.format.saved_model import ModelConfig
from pairchain.inputs.arguments import BYTES, check_prompt_name, checked_count
from pairchain.inputs.pairs import as_inputs
from pairchain.opening import open_source
from pairchain.persistence.load import LoadedModel, explain_chain_error, load_model, saved_activation, warn_of_idle
from pairchain.persistence.model_card import ModelCard
from pairchain.persistence.publish import push_folder
from pairchain.persistence.request import LoadRequest
from pairchain.persistence.save import save_chain
from pairchain.text.nearest import nearest
from pairchain.trust import policies
from pairchain.trust.lock import Lock, as_lock
from pairchain.trust.resolve import Resolver


class CrossEncoder(OlderNames, Scorer):
    """A chain of modules that scores pairs.

    Args:
        model_name_or_path: Folder, or Hub repository as ``owner/name``; without an owner, ``cross-encoder/name``.
        modules: Modules to build a chain from instead of loading one, in order or by name.
        device: Where to compute, such as ``"cuda:1"``; None for the first accelerator, else the CPU.
        prompts: Prompt texts by name; they override saved prompts of the same name.
        default_prompt_name: The prompt to use if a call names none; ``""`` switches a saved one off.
        cache_folder: Where downloads are kept.
        trust_remote_code: Whether code that comes with the model may run: True, False, or a list of approvals, each
            ``"owner/name@commit"`` or ``"sha256:…"``.
        code_revision: Revision of the other repositories that hold its code; a mapping has one for each repository.
        lock: Path of a lock file, or a lock, that every file must match; see `pairchain.lock`.
        revision: Branch, tag, commit or ref such as ``refs/pr/11``; resolved once to a commit.
        local_files_only: Use only files downloaded earlier.
        token: Hub token.
        subfolder: Folder inside the directory or repository that holds the model.
        model_kwargs: Passed on to the loader of weights, such as ``dtype`` or ``attn_implementation``.
        processor_kwargs: Passed on to the loader of a tokenizer or processor.
        config_kwargs: Passed on to the loader of a model configuration.
        tokenizer: Which tokenizer to use if the installed transformers library replaces parts of the saved one:
            ``"as-published"``, the author's, or ``"library"``, which sentence-transformers uses. None for the author's,
            with a warning if they differ.
        model_card_data: For the front matter of model cards, such as ``{"license": "mit"}``.
        backend: Name of the installed backend that loads and runs a `Transformer`; see `pairchain.backends`.
            ``"auto"`` takes the fastest that gives the same scores; ``"torch"`` means ``"transformers"``.
        num_labels: Scores for each pair, for a new classification head.
        max_length: Longest input in tokens, no more than the model has positions for.
        activation_fn: Applied to the scores; None for the saved one, else Sigmoid for one label and Identity for more.
        keep_in_fp32_modules: Paths of `torch.nn.Linear` layers that compute in float32 whatever their dtype.
        module_classes: Classes by type string; they take precedence over installed plugins.
        allow_links: Follow links in a folder that lead out of it, such as those of DVC, Nix, or a Hub download with
            ``local_dir``; the error without it shows where they lead.
        allow_pickle: Read weights from a pickle, through torch's restricted loader, if there is no safetensors file.
        tokens_per_batch: Most tokens in a batch, padding included; None for a number that suits the device.
        threads: Most threads to compute with on a CPU; None for ``torch.get_num_threads()`` of the thread that calls.
        prefix_cache: Bytes to keep, for later calls, of a causal model's results for the beginnings of inputs, such as
            an instruction; 0 keeps nothing.
        allow_random_head: Score even if weights are random because the model's files lack them.

    Raises:
        InputError: You pass neither a name nor modules, or an argument is invalid.
        UnknownNameError: No installed plugin provides the backend.
        SourceError: The model's files cannot be fetched.
        FormatError: The saved model is damaged or incomplete.
        ChainError: The modules form no chain that scores pairs.
        UnknownTypeError, PluginError, TrustRequiredError: A module's class cannot be resolved or loaded.
    """

    source: Source | None
    model_card_data: Mapping[str, Any] | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    keep_in_fp32_modules: tuple[str, ...]

    @accepts_older_arguments(renamed=INIT_RENAMES, positional=INIT_POSITIONAL, nested=INIT_NESTED)
    # modules may run code when they are told that the chain is ready
    @undoing_patches()
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: Sequence[nn.Module] | Mapping[str, nn.Module] | None = None,
        device: str | torch.device | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        trust_remote_code: bool | Sequence[str] = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        subfolder: str = "",
        allow_links: bool = False,
        code_revision: str | Mapping[str, str] | None = None,
        lock: str | os.PathLike[str] | Lock | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        tokenizer: Literal["as-published", "library"] | None = None,
        model_card_data: Mapping[str, Any] | None = None,
        backend: str = DEFAULT,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        keep_in_fp32_modules: Sequence[str] | None = None,
        module_classes: Mapping[str, type] | None = None,
        allow_pickle: bool = False,
        tokens_per_batch: int | None = None,
        threads: int | None = None,
        prefix_cache: int = 0,
        allow_random_head: bool = False,
    ) -> None:
        check_backend(backend)
        if device is not None:
            checked_device(device)
        counts = {
            "max_length": max_length,
            "num_labels": num_labels,
            "tokens_per_batch": tokens_per_batch,
            "threads": threads,
        }
        for name, value in counts.items():
            if value is not None:
                checked_count(value, name)
        prefix_cache = checked_count(prefix_cache, "prefix_cache", least=0, next_step=BYTES)
        if modules is not None:
            warn_of_idle(
                model_name_or_path=model_name_or_path,
                revision=revision,
                subfolder=subfolder,
                model_kwargs=model_kwargs,
                processor_kwargs=processor_kwargs,
                config_kwargs=config_kwargs,
                tokenizer=tokenizer,
                backend="" if backend == DEFAULT else backend,
                module_classes=module_classes,
            )
            loaded = LoadedModel(modules)
        elif model_name_or_path is None:
            raise InputError("there is nothing to load.", next_step="pass a model's name or path, or modules=[…].")
        else:
            code_revision = code_revision or (model_kwargs or {}).get("code_revision")
            policy = policies.policy_of(trust_remote_code, allow_pickle, code_revision, lock)
            pinned = revision or policy.locked_revision(model_name_or_path)
            source = open_source(
                model_name_or_path, subfolder, token, cache_folder, pinned, local_files_only, allow_links
            )
            request = LoadRequest(
                source,
                Resolver(source, module_classes or {}),
                model_kwargs=model_kwargs or {},
                processor_kwargs=_with(processor_kwargs, "model_max_length", max_length),
                config_kwargs=_with(config_kwargs, "num_labels", num_labels),
                backend=backend,
                tokenizer=tokenizer,
            )
            loaded = load_model(request, policy)
            policy.warn_of_idle_revisions()
        try:
            super().__init__(loaded.modules, module_kwargs={entry.name: entry.kwargs for entry in loaded.entries})
        except ChainError as error:
            raise explain_chain_error(loaded, error) from error

        settings = loaded.config or ModelConfig()
        self.source = loaded.source
        self.model_card_data = model_card_data
        self.prompts = {**settings.prompts, **(prompts or {})}
        # an empty name switches a saved default off
        self.default_prompt_name = (
            settings.default_prompt_name if default_prompt_name is None else default_prompt_name or None
        )
        self.tokens_per_batch = tokens_per_batch
        self.threads = threads
        self.allow_random_head = allow_random_head
        if prefix_cache:
            self.prefix_cache = prefix_cache
        self._settings = settings
        self._extra_entries = {entry.name: entry.extra for entry in loaded.entries}
        self._num_labels: int | None = None
        self.activation_fn = (
            saved_activation(loaded, self.declared_num_labels()) if activation_fn is None else activation_fn
        )
        if self.default_prompt_name is not None:
            check_prompt_name(self.default_prompt_name, self.prompts, title="default prompt")
        written = self.declared_num_labels()
        if None not in (num_labels, written) and num_labels != written:
            raise ChainError(
                f"you passed num_labels={num_labels}, but this chain writes {written} scores for each pair."
            )
        if self.source is None and max_length is not None:
            self.max_seq_length = max_length
        place(self, device, has_device_map=(model_kwargs or {}).get("device_map") is not None)
        kept = settings.keep_in_fp32_modules if keep_in_fp32_modules is None else tuple(keep_in_fp32_modules)
        self.keep_in_fp32_modules = keep_in_float32(self, kept)
        self.eval()
        self.tell_ready()
        if self.source is not None:
            hooks.tell("pairchain_chain_loaded", chain=self)

    # -- saving -------------------------------------------------------------------------------------------------------

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        model_name: str | None = None,
        create_model_card: bool = True,
        *,
        overwrite_model_card: bool = False,
        card_examples: Sequence[tuple[Any, Any]] = (),
        card_sections: Sequence[str] = (),
        safe_serialization: bool = True,
        copy_code: bool = False,
    ) -> None:
        """Save the chain to the folder ``path``, in the format of sentence-transformers' CrossEncoder.

        The files are written to a temporary folder and moved into place together: if saving fails, ``path`` stays
        unchanged. A save replaces module folders completely, and leaves alone files that are not part of a model.

        Args:
            path: The folder; created if it does not exist.
            model_name: The name by which the model card loads it; None for ``path``.
            create_model_card: Whether to write a ``README.md`` if there is none.
            overwrite_model_card: Whether to overwrite an existing one.
            card_examples: Pairs to score and show in the card; without any, the model does not run.
            card_sections: Markdown to add to the card, such as how the model was trained.
            safe_serialization: Whether weights go to safetensors; otherwise to pickles.
            copy_code: Whether to copy code of other repositories into the model, instead of naming it with its commit.

        Raises:
            FormatError: A part of the chain cannot be written, such as an activation that is not a torch class.
        """
        has_card = os.path.exists(os.path.join(path, "README.md"))
        is_free = create_model_card and (overwrite_model_card or not has_card)
        card = self._card(model_name or os.fspath(path), card_examples, card_sections) if is_free else None
        config = ModelConfig(
            prompts=self.prompts,
            default_prompt_name=self.default_prompt_name,
            keep_in_fp32_modules=self.keep_in_fp32_modules,
            requirements=self._settings.requirements,
            extra=self._settings.extra,
            **activation.settings_of(self._activation_to_save),
        )
        options = {"safe_serialization": safe_serialization, "copy_code": copy_code}
        save_chain(self, path, config, extra_entries=self._extra_entries, card=card, **options)

    def save(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Save the chain; see `save_pretrained`."""
        self.save_pretrained(path, *args, **kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        exist_ok: bool = False,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Add a pairchain CrossEncoder",
        replace_model_card: bool = False,
        card_examples: Sequence[tuple[Any, Any]] = (),
        card_sections: Sequence[str] = (),
        safe_serialization: bool = True,
        copy_code: bool = False,
    ) -> str:
        """Save the chain to a Hub repository as one commit, and return that commit's or pull request's URL.

        Args:
            repo_id: The repository, as ``owner/name``, or a name alone for one of your own; created if missing.
            token: Hub token.
            private: Whether a new repository is private.
            exist_ok: Whether the repository may exist already.
            revision: Branch to push to; created if missing.
            create_pr: Whether to open a pull request instead of changing the branch.
            commit_message: The commit's first line.
            replace_model_card: Whether to replace an existing ``README.md``.
            card_examples, card_sections, safe_serialization, copy_code: As for `save_pretrained`.

        Raises:
            FormatError: A part of the chain cannot be written; nothing is pushed.
            SourceError: The Hub refuses the push, or cannot be reached.
        """

        def write(folder: Path) -> None:
            options: dict[str, Any] = {"safe_serialization": safe_serialization, "copy_code": copy_code}
            self.save_pretrained(folder, repo_id, card_examples=card_examples, card_sections=card_sections, **options)

        return push_folder(
            write,
            repo_id,
            token=token,
            private=private,
            exist_ok=exist_ok,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            replace_model_card=replace_model_card,
        )

    def _card(self, name: str, pairs: Sequence[tuple[Any, Any]], sections: Sequence[str]) -> ModelCard:
        examples = as_inputs(pairs)
        if examples.single:
            raise InputError("card_examples is one pair, not a list of pairs.", next_step="pass [pair].")
        scores = self.predict(examples.items).tolist() if examples.items else []
        scored = list(zip(examples.items, scores, strict=True))
        if isinstance(sections, str):
            raise InputError("card_sections is a string, not a list of them.", next_step="pass [text].")
        about = (name, self._known_num_labels, self.source, self.prompts, self.model_card_data)
        return ModelCard(*about, scored, sections)

    @property
    def _activation_to_save(self) -> Activation | None:
        # the default depends only on the number of labels, so a load of this chain chooses the same one
        chosen: Activation | None = self.__dict__["_activation"]
        return self.activation_fn if chosen is not None or self._known_num_labels is not None else None


def as_load_kwargs(given: Mapping[str, Any], taker: str) -> dict[str, Any]:
    """Return keyword arguments of `CrossEncoder` for a load that comes later, with the lock read now.

    Args:
        given: The arguments.
        taker: What takes them, for errors.

    Raises:
        UnknownKeywordError: `CrossEncoder` takes no such argument for a model that is given by its name.
    """
    known = inspect.signature(CrossEncoder.__init__).parameters.keys() - {"self", "model_name_or_path", "modules"}
    if unknown := [name for name in given if name not in known]:
        raise UnknownKeywordError(
            f"{taker} takes no argument {unknown[0]!r}{nearest(unknown[0], known)}; those of predict go into "
            "predict_kwargs."
        )
    lock = given.get("lock")
    return {**given, **({} if lock is None else {"lock": as_lock(lock)})}


def _with(values: Mapping[str, Any] | None, key: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``values``, with ``key`` set unless ``value`` is None."""
    return {**(values or {}), **({} if value is None else {key: value})}
