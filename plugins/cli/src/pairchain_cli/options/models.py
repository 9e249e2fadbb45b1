"""Which model the shell asked for, and how it loads and scores; what the library says, in the words of the shell."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairchain.errors import PairchainError, PairchainWarning, TrustRequiredError
from pairchain_cli.options.model_options import ANY_CODE, TokenizerChoice
from pairchain_cli.options.options import Activation
from pairchain_cli.telling import telling

if TYPE_CHECKING:
    from pairchain import CrossEncoder


@dataclass(frozen=True)
class ModelOptions:
    """A model and how it scores; each is as for `pairchain.CrossEncoder` and its ``predict``."""

    name: str
    device: Sequence[str] = ()
    dtype: str | None = None
    revision: str | None = None
    subfolder: str = ""
    trust_remote_code: Sequence[str] = ()
    code_revision: str | Mapping[str, str] | None = None
    lock: Path | None = None
    local_files_only: bool = False
    allow_pickle: bool = False
    tokenizer: TokenizerChoice | None = None
    allow_random_head: bool = False
    max_length: int | None = None
    tokens_per_batch: int | None = None
    batch_size: int | None = None
    prompt: str | None = None
    prompt_name: str | None = None
    activation: Activation | None = None
    allow_non_finite: bool = False
    allow_urls: bool = False
    allow_private_urls: bool = False
    allow_paths: bool = False

    @property
    def allowed(self) -> bool | list[str]:
        """What of its code may run, as `pairchain.CrossEncoder` takes it."""
        return True if ANY_CODE in self.trust_remote_code else list(self.trust_remote_code)

    def switches_for(self, model: CrossEncoder) -> dict[str, bool]:
        """Return what the rows may have opened, as keyword arguments of a model that takes them."""
        taken = model.keyword_names()
        given = {
            "allow_urls": self.allow_urls or self.allow_private_urls,
            "allow_private_urls": self.allow_private_urls,
            "allow_paths": self.allow_paths,
        }
        return {name: value for name, value in given.items() if name in taken}

    @property
    def deciding(self) -> dict[str, Any]:
        """Those that scores depend on, beyond rounding, by the name of the option."""
        return {
            "--dtype": self.dtype,
            "--tokenizer": None if self.tokenizer is None else str(self.tokenizer),
            "--max-length": self.max_length,
            "--prompt": self.prompt,
            "--prompt-name": self.prompt_name,
            "--activation": None if self.activation is None else str(self.activation),
        }


@dataclass(frozen=True)
class Scoring:
    """A loaded model that scores as the options say.

    Attributes:
        model: The model.
        predict: Returns a score for each pair: an array of shape (pairs,) or (pairs, labels).
    """

    model: CrossEncoder
    predict: Callable[[Sequence[tuple[Any, Any]]], Any]

    def identity(self) -> str:
        """Return which model it is: its repository and commit, or what its files hash to."""
        source = self.model.source
        assert source is not None
        if source.commit is not None:
            return f"{source.name}@{source.commit}" + (f"/{source.subfolder}" if source.subfolder else "")
        import hashlib

        from pairchain.authoring import file_hashes

        digests = sorted(file_hashes(source, (), read=True).digests.items())
        return f"sha256:{hashlib.sha256(repr(digests).encode()).hexdigest()}"


@contextmanager
def loaded(options: ModelOptions) -> Iterator[Scoring]:
    """Yield the model, ready to score.

    Raises:
        PairchainError: It cannot be loaded, or an option makes no sense; the message names options as the shell does.
    """
    with speaking_shell():
        model = load(options)
        keywords = {**_keywords(options), **options.switches_for(model)}
        devices = options.device
        with model.start_multi_process_pool(devices) if len(devices) > 1 else nullcontext() as pool:

            def predict(pairs: Sequence[tuple[Any, Any]]) -> Any:
                scores = model.predict(list(pairs), pool=pool, **keywords)
                if options.activation == Activation.SOFTMAX and scores.ndim == 1:
                    raise PairchainError("the model gives one score a pair, and softmax is over several.")
                return scores

            yield Scoring(model, predict)


def load(options: ModelOptions) -> CrossEncoder:
    """Return the model.

    Raises:
        PairchainError: It cannot be loaded, or an option makes no sense.
    """
    telling.keep_bars_away()
    # what it imports takes seconds, and errors of the options above do not need it
    from pairchain import CrossEncoder

    for device in options.device:
        _require_device(device)
    return CrossEncoder(
        options.name,
        device=options.device[0] if options.device else None,
        revision=options.revision,
        subfolder=options.subfolder,
        trust_remote_code=options.allowed,
        code_revision=options.code_revision,
        lock=options.lock,
        local_files_only=options.local_files_only,
        allow_pickle=options.allow_pickle,
        tokenizer=options.tokenizer,
        allow_random_head=options.allow_random_head,
        max_length=options.max_length,
        tokens_per_batch=options.tokens_per_batch,
        model_kwargs={"dtype": _dtype(options.dtype)} if options.dtype else None,
    )


def _keywords(options: ModelOptions) -> dict[str, Any]:
    from torch import nn

    activations = {Activation.SIGMOID: nn.Sigmoid, Activation.IDENTITY: nn.Identity, Activation.SOFTMAX: nn.Identity}
    return {
        "prompt": options.prompt,
        "prompt_name": options.prompt_name,
        "batch_size": options.batch_size or "auto",
        "activation_fn": activations[options.activation]() if options.activation else None,
        "apply_softmax": options.activation == Activation.SOFTMAX,
        "allow_non_finite": options.allow_non_finite,
        "show_progress_bar": False,
    }


def _require_device(name: str) -> None:
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise PairchainError(
            f"the device {name!r} cannot be used: {reason}", next_step="such as --device cpu, cuda, cuda:1 or mps."
        ) from error


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name, None)
    if name != "auto" and not isinstance(found, torch.dtype):
        raise PairchainError(f"there is no dtype {name!r}.", next_step="such as --dtype float32, float16 or bfloat16.")
    return found or name


# -- words ------------------------------------------------------------------------------------------------------------

_SWITCHES = "allow_urls|allow_private_urls|allow_paths"
_FLAG = re.compile(rf"\b(allow_pickle|allow_non_finite|allow_random_head|local_files_only|{_SWITCHES})=True\b")
_SWITCHED_OFF = re.compile(rf"\b({_SWITCHES}) is False\b")
_VALUE = re.compile(
    r"\b(tokens_per_batch|batch_size|max_length|code_revision|revision|subfolder|device|lock|prompt_name)="
)
_CHOICE = re.compile(r"\btokenizer='([\w-]+)'")
_NAME = re.compile(r"\b(tokens_per_batch|batch_size|max_length|code_revision|prompt_name)\b")


def in_shell_words(text: str) -> str:
    """Return a message of the library, with arguments named as the options that they are here."""
    text = _FLAG.sub(lambda found: _as_option(found[1]), text)
    text = _SWITCHED_OFF.sub(lambda found: f"{_as_option(found[1])} is not given", text)
    text = _VALUE.sub(lambda found: _as_option(found[1]) + " ", text)
    text = _CHOICE.sub(r"--tokenizer \1", text)
    return _NAME.sub(lambda found: _as_option(found[1]), text)


def _as_option(argument: str) -> str:
    return "--" + argument.replace("_", "-")


@contextmanager
def speaking_shell() -> Iterator[None]:
    """Let errors and warnings of the block name options instead of arguments."""
    try:
        with warnings.catch_warnings():
            shown = warnings.showwarning
            warnings.showwarning = lambda message, category, *rest, **more: shown(
                category(in_shell_words(str(message))) if issubclass(category, PairchainWarning) else message,
                category,
                *rest,
                **more,
            )
            if not sys.warnoptions:
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.simplefilter("ignore", FutureWarning)
            yield
    except TrustRequiredError as error:
        approvals = " ".join(f"--trust-remote-code {approval}" for approval in error.approvals)
        raise PairchainError(
            error.what, where=error.where, next_step=f"read it, and if you agree add {approvals}."
        ) from error
    except PairchainError as error:
        raise PairchainError(
            *map(in_shell_words, [error.what]),
            where=in_shell_words(error.where),
            next_step=in_shell_words(error.next_step),
        ) from error
