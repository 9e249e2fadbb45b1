"""Where a model's files are: a local folder, or a Hub repository at one commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors as hub_errors

from pairchain import hooks
from pairchain.errors import (
    AccessDeniedError,
    InputError,
    MissingFileError,
    RevisionNotFoundError,
    SourceError,
    SourceNotFoundError,
)
from pairchain.files import check_inside

# Rerankers published without naming an organisation live here.
DEFAULT_ORGANISATION = "cross-encoder"

# Checkpoints from before the Hub had organisations: these names are whole repository names.
_UNPREFIXED = frozenset(
    """
    albert-base-v1 albert-base-v2 albert-large-v1 albert-large-v2 albert-xlarge-v1 albert-xlarge-v2
    albert-xxlarge-v1 albert-xxlarge-v2 bert-base-cased bert-base-cased-finetuned-mrpc bert-base-chinese
    bert-base-german-cased bert-base-german-dbmdz-cased bert-base-german-dbmdz-uncased
    bert-base-multilingual-cased bert-base-multilingual-uncased bert-base-uncased bert-large-cased
    bert-large-cased-whole-word-masking bert-large-cased-whole-word-masking-finetuned-squad bert-large-uncased
    bert-large-uncased-whole-word-masking bert-large-uncased-whole-word-masking-finetuned-squad camembert-base
    ctrl distilbert-base-cased distilbert-base-cased-distilled-squad distilbert-base-german-cased
    distilbert-base-multilingual-cased distilbert-base-uncased distilbert-base-uncased-distilled-squad
    distilbert-base-uncased-finetuned-sst-2-english distilgpt2 distilroberta-base gpt2 gpt2-large gpt2-medium
    gpt2-xl openai-gpt roberta-base roberta-base-openai-detector roberta-large roberta-large-mnli
    roberta-large-openai-detector t5-11b t5-3b t5-base t5-large t5-small transfo-xl-wt103 xlm-clm-ende-1024
    xlm-clm-enfr-1024 xlm-mlm-100-1280 xlm-mlm-17-1280 xlm-mlm-en-2048 xlm-mlm-ende-1024 xlm-mlm-enfr-1024
    xlm-mlm-enro-1024 xlm-mlm-tlm-xnli15-1024 xlm-mlm-xnli15-1024 xlm-roberta-base xlm-roberta-large
    xlm-roberta-large-finetuned-conll02-dutch xlm-roberta-large-finetuned-conll02-spanish
    xlm-roberta-large-finetuned-conll03-english xlm-roberta-large-finetuned-conll03-german xlnet-base-cased
    xlnet-large-cased
    """.split()
)


@dataclass(frozen=True)
class Source:
    """A model's files, all of one moment: a folder on disk, or a repository at one commit.

    Attributes:
        name: The folder's path, or the repository as ``owner/name``.
        commit: The commit every file comes from, 40 hex digits; None for a folder.
        revision: The branch, tag, commit or ref that was asked for and led to ``commit``, if any.
        subfolder: Folder inside it that the model is in; empty for the root.
        token: Hub token; True reads the stored one, False sends none.
        cache_folder: Where downloads are kept; None for the Hub library's default.
        local_files_only: Whether only files downloaded earlier may be used.
    """

    name: str
    commit: str | None = None
    revision: str | None = None
    subfolder: str = ""
    token: bool | str | None = None
    cache_folder: str | None = None
    local_files_only: bool = False

    def __str__(self) -> str:
        where = self.name if self.commit is None else f"{self.name} at {self.commit[:12]}"
        return f"{where}, folder {self.subfolder}" if self.subfolder else where

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on disk."""
        return self.commit is None

    def path_of(self, path: str) -> str:
        """Return ``path`` as seen from the root of the folder or repository."""
        return "/".join(part for part in (self.subfolder, check_inside(path, shown_as="a path")) if part)

    def file(self, path: str) -> Path | None:
        """Return a local copy of the file at ``path``, or None if the source has no such file.

        Args:
            path: Relative to the source's folder, with forward slashes.

        Raises:
            SourceError: The file may be there but cannot be had: no access, no connection, a download cut off.
        """
        inside = self.path_of(path)
        if self.is_local:
            local = Path(self.name) / inside
            # unlike Path.is_file, this also answers for a name longer than any file's
            return local if os.path.isfile(local) else None
        # a commit never gains a file, so what it was once found to lack need not be asked for again
        cached = huggingface_hub.try_to_load_from_cache(self.name, inside, self.cache_folder, self.commit)
        if cached is huggingface_hub._CACHED_NO_EXIST:
            return None
        try:
            with _hub_errors(self, inside):
                return Path(
                    huggingface_hub.hf_hub_download(
                        self.name,
                        inside,
                        revision=self.commit,
                        token=self.token,
                        cache_dir=self.cache_folder,
                        local_files_only=self.local_files_only,
                    )
                )
        except hub_errors.EntryNotFoundError:
            return None

    def require(self, path: str, *, because: str = "") -> Path:
        """Return a local copy of the file at ``path``; see `file`.

        Args:
            path: Relative to the source's folder.
            because: What needs the file, as a sentence.

        Raises:
            MissingFileError: The source has no such file.
        """
        if (local := self.file(path)) is None:
            raise MissingFileError(
                f"{self.path_of(path)} is missing. {because}".rstrip(),
                where=str(self),
                next_step="it is not among the files downloaded earlier; allow downloads to look for it."
                if self._offline
                else "save or fetch the model again; it is incomplete.",
            )
        return local

    def has(self, path: str) -> bool:
        """Return whether the source has a file at ``path``, without downloading it."""
        if self.is_local or self._offline:
            return self.file(path) is not None
        inside = self.path_of(path)
        with _hub_errors(self, inside):
            return huggingface_hub.file_exists(self.name, inside, revision=self.commit, token=self.token)

    def folder(self, path: str = "") -> Path:
        """Return a local copy of the whole folder at ``path``.

        Raises:
            MissingFileError: The source has no such folder.
            SourceError: Its files cannot be had.
        """
        inside = self.path_of(path)
        if self.is_local:
            local = Path(self.name) / inside
        else:
            with _hub_errors(self):
                root = huggingface_hub.snapshot_download(
                    self.name,
                    revision=self.commit,
                    token=self.token,
                    cache_dir=self.cache_folder,
                    local_files_only=self.local_files_only,
                    allow_patterns=f"{inside}/*" if inside else None,
                )
            local = Path(root) / inside
        if not os.path.isdir(local):
            raise MissingFileError(f"the folder {inside!r} is missing.", where=str(self))
        return local

    def load_keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords by which a module's ``load`` finds its files at ``path``."""
        return {
            "subfolder": self.path_of(path),
            "token": self.token,
            "cache_folder": self.cache_folder,
            "revision": self.commit,
            "local_files_only": self.local_files_only,
        }

    @property
    def _offline(self) -> bool:
        return not self.is_local and (self.local_files_only or huggingface_hub.constants.is_offline_mode())


def open_source(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
) -> Source:
    """Return the source that ``name`` stands for; a moving revision is resolved here, once, to a commit.

    Args:
        name: A folder, or a repository as ``owner/name``. A name without owner means `DEFAULT_ORGANISATION`.
        revision: Branch, tag, commit or ref such as ``refs/pr/11``; None for the default branch.
        token: Hub token.
        cache_folder: Where downloads are kept; None for ``SENTENCE_TRANSFORMERS_HOME`` or the Hub library's default.
        local_files_only: Use only what was downloaded earlier. ``HF_HUB_OFFLINE`` does the same.
        subfolder: Folder inside it that the model is in.

    Raises:
        InputError: ``name`` is empty or cannot name anything.
        SourceNotFoundError: There is no such folder or repository.
        RevisionNotFoundError: The repository has no such revision.
        SourceError: The repository cannot be reached, and was never downloaded.
    """
    text = os.fspath(name)
    if not text:
        raise InputError("the model's name is empty.", next_step="name a folder or a repository.")
    subfolder = check_inside(subfolder, shown_as="subfolder").strip("/")
    if os.path.isdir(text):
        return Source(text, subfolder=subfolder)
    if "://" in text:
        return Source(_opened_by_plugin(text, revision, cache_folder), subfolder=subfolder)
    _refuse_paths(text)
    if "/" not in text and text.lower() not in _UNPREFIXED:
        text = f"{DEFAULT_ORGANISATION}/{text}"
    cache_folder = cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    asked = Source(text, "", revision, subfolder, token, os.fspath(cache_folder) if cache_folder else None)
    with _hub_errors(asked):
        resolved = huggingface_hub.resolve_revision(
            text,
            revision=revision,
            cache_dir=asked.cache_folder,
            local_files_only=local_files_only,
            token=token,
        )
    return Source(text, resolved.resolved, revision, subfolder, token, asked.cache_folder, local_files_only)


def source_of_module(
    model_name_or_path: str | os.PathLike[str],
    subfolder: str = "",
    token: bool | str | None = None,
    cache_folder: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Source:
    """Return the source that a module's ``load`` was given, as `Source.load_keywords` wrote it."""
    return open_source(
        model_name_or_path,
        subfolder=subfolder,
        token=token,
        cache_folder=cache_folder,
        revision=revision,
        local_files_only=local_files_only,
    )


def _opened_by_plugin(name: str, revision: str | None, cache_folder: str | os.PathLike[str] | None) -> str:
    folder = hooks.ask_one(
        "pairchain_open_source",
        str,
        os.PathLike,
        name=name,
        revision=revision,
        cache_folder=None if cache_folder is None else os.fspath(cache_folder),
    )
    if folder is None:
        raise SourceNotFoundError(
            f"no installed plugin opens {name!r}.", next_step="install one that does, or fetch the model to a folder."
        )
    return os.fsdecode(folder)


def _refuse_paths(text: str) -> None:
    if os.path.isfile(text):
        raise SourceNotFoundError(f"{text!r} is a file.", next_step="name the folder that the model is in.")
    if text.startswith((".", "/", "~")) or "\\" in text or text.count("/") > 1:
        raise SourceNotFoundError(
            f"there is no folder {text!r}.",
            where=f"looked from {Path.cwd()}",
            next_step="check the path; a repository is named as owner/name.",
        )


@contextmanager
def _hub_errors(source: Source, path: str = "") -> Iterator[None]:
    """Turn the Hub library's errors into ours; a missing file stays `EntryNotFoundError` for the caller."""
    what = f"the repository {source.name!r}"
    wanted = f"{path} of {what}" if path else what
    try:
        yield
    except hub_errors.HFValidationError as error:
        raise InputError(f"{source.name!r} names neither a folder nor a repository: {error}") from error
    except hub_errors.GatedRepoError as error:
        raise AccessDeniedError(
            f"{what} is gated.",
            next_step="ask for access on its page, then log in with `hf auth login` or pass token=.",
        ) from error
    except hub_errors.LocalTokenNotFoundError as error:
        raise AccessDeniedError(
            f"token=True sends the stored token to {what}, and none is stored.",
            next_step="log in with `hf auth login` or pass token=.",
        ) from error
    except hub_errors.RepositoryNotFoundError as error:
        raise SourceNotFoundError(
            f"{what} does not exist, or is private and the token does not open it.",
            where=f"{huggingface_hub.constants.ENDPOINT}; no folder of that name in {Path.cwd()} either",
            next_step="check the name; for a private one log in with `hf auth login` or pass token=.",
        ) from error
    except hub_errors.RevisionNotFoundError as error:
        raise RevisionNotFoundError(
            f"{what} has no revision {source.revision or source.commit!r}.",
            next_step="name a branch, a tag, a commit or a ref such as refs/pr/11.",
        ) from error
    except (hub_errors.LocalEntryNotFoundError, hub_errors.RevisionResolutionError) as error:
        if isinstance(error, hub_errors.LocalEntryNotFoundError) and source._offline:
            raise hub_errors.EntryNotFoundError(str(error)) from error
        raise SourceError(
            f"{wanted} cannot be reached, and no copy of {source.revision or 'its default branch'} is in the cache.",
            where=source.cache_folder or huggingface_hub.constants.HF_HUB_CACHE,
            next_step="connect, or download it first; HF_HUB_OFFLINE and local_files_only forbid downloads.",
        ) from error
    except hub_errors.EntryNotFoundError:
        raise
    except Exception as error:  # the HTTP client's own errors differ between versions of the Hub library
        raise SourceError(
            f"{wanted} cannot be downloaded: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            next_step="try again; what was downloaded so far is kept.",
        ) from error
