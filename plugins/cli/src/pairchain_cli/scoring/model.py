"""Loads the model that a command's options describe, and scores with it according to these options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pairchain.errors import PairchainError
from pairchain_cli.options.loading import ModelOptions
from pairchain_cli.options.scoring import Activation, MediaOptions, PromptOptions, ScoringOptions
from pairchain_cli.terminal import lines

if TYPE_CHECKING:
    from pairchain import CrossEncoder


@dataclass(frozen=True)
class Scorer:
    """A loaded model that scores according to the options.

    Attributes:
        model: The model.
        predict: Takes pairs, and returns an array of scores of shape (pairs,) or (pairs, labels).
    """

    model: CrossEncoder
    predict: Callable[[Sequence[tuple[Any, ...]]], Any]

    def identity(self) -> str:
        """Return the model's repository and commit, or the hash of its files."""
        source = self.model.source
        assert source is not None
        if source.commit is not None:
            return f"{source.name}@{source.commit}" + (f"/{source.subfolder}" if source.subfolder else "")
        import hashlib

        from pairchain.authoring import file_hashes

        digests = sorted(file_hashes(source, (), read=True).digests.items())
        return f"sha256:{hashlib.sha256(repr(digests).encode()).hexdigest()}"


@contextmanager
def open_scorer(options: ScoringOptions) -> Iterator[Scorer]:
    """Yield the model, ready to score on all devices of ``options``.

    Raises:
        PairchainError: The model cannot be loaded, or an option does not fit it.
    """
    model = _load(options)
    keywords = predict_keywords(options, model)
    devices = options.device or []
    with model.start_multi_process_pool(devices) if len(devices) > 1 else nullcontext() as pool:

        def predict(pairs: Sequence[tuple[Any, ...]]) -> Any:
            scores = model.predict(list(pairs), pool=pool, **keywords)
            if options.activation == Activation.SOFTMAX and scores.ndim == 1:
                raise PairchainError(
                    "softmax needs several scores per pair, and this model gives one.",
                    next_step="choose another --activation.",
                )
            return scores

        yield Scorer(model, predict)


def load_model(options: ModelOptions, **model_kwargs: Any) -> CrossEncoder:
    """Return the model, on one device.

    Args:
        options: How it is loaded.
        **model_kwargs: Further ``model_kwargs``, for the backend.

    Raises:
        PairchainError: The model cannot be loaded, or an option does not fit it.
    """
    require_one_device(options)
    return _load(options, **model_kwargs)


def require_one_device(options: ModelOptions) -> None:
    """Raise a PairchainError if ``options`` name several devices."""
    if len(options.device or ()) > 1:
        raise PairchainError("this command uses one device.", next_step="give --device once.")


def _load(options: ModelOptions, **model_kwargs: Any) -> CrossEncoder:
    keywords = loading_keywords(options)
    if model_kwargs:
        keywords["model_kwargs"] = {**(keywords["model_kwargs"] or {}), **model_kwargs}
    # imported late, because it takes seconds and errors in the options need no model
    from pairchain import CrossEncoder

    return CrossEncoder(options.model, **keywords)


def loading_keywords(options: ModelOptions) -> dict[str, Any]:
    """Return the options as keyword arguments of `pairchain.CrossEncoder`, with the first device.

    Raises:
        InputError: This machine does not have the device.
        PairchainError: There is no such dtype.
    """
    # torch is slow to import, and a mistake in the options is told before
    from pairchain.authoring import checked_device

    lines.silence_progress_bars()
    for device in options.device or ():
        checked_device(device)
    return unchecked_keywords(options)


def unchecked_keywords(options: ModelOptions) -> dict[str, Any]:
    """Return the options as keyword arguments of `pairchain.CrossEncoder`, on a machine with whatever devices."""
    return {
        **options.place,
        "device": options.device[0] if options.device else None,
        "trust_remote_code": options.allowed,
        "lock": options.lock,
        "allow_pickle": options.allow_pickle,
        **({"backend": options.backend} if options.backend else {}),
        "tokenizer": options.tokenizer,
        "allow_random_head": options.allow_random_head,
        "max_length": options.max_length,
        "threads": options.threads,
        "model_kwargs": _model_kwargs(options) or None,
        **({"tokens_per_batch": options.tokens_per_batch} if isinstance(options, ScoringOptions) else {}),
    }


def media_keywords(options: MediaOptions, model: CrossEncoder) -> dict[str, Any]:
    """Return the keyword arguments in ``options.media`` that the model takes."""
    taken = model.keyword_names()
    return {name: value for name, value in options.media.items() if name in taken}


def predict_keywords(options: ScoringOptions, model: CrossEncoder) -> dict[str, Any]:
    """Return the options as keyword arguments of ``predict``."""
    return {
        **prompt_keywords(options),
        **media_keywords(options, model),
        "batch_size": options.batch_size or "auto",
        "allow_non_finite": options.allow_non_finite,
        "show_progress_bar": False,
    }


def prompt_keywords(options: PromptOptions) -> dict[str, Any]:
    """Return the prompt and the activation as keyword arguments of ``predict``, in pairchain and elsewhere."""
    from torch import nn

    activations = {Activation.SIGMOID: nn.Sigmoid, Activation.IDENTITY: nn.Identity, Activation.SOFTMAX: nn.Identity}
    return {
        "prompt": options.prompt,
        "prompt_name": options.prompt_name,
        "activation_fn": activations[options.activation]() if options.activation else None,
        "apply_softmax": options.activation == Activation.SOFTMAX,
    }


def _model_kwargs(options: ModelOptions) -> dict[str, Any]:
    return {
        **({"dtype": _dtype(options.dtype)} if options.dtype else {}),
        **({"file_name": options.file_name} if options.file_name else {}),
    }


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name, None)
    if name != "auto" and not isinstance(found, torch.dtype):
        raise PairchainError(f"there is no dtype {name!r}.", next_step="try --dtype float32, float16 or bfloat16.")
    return found or name
