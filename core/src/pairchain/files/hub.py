"""The Hugging Face Hub: asking it, and its library's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors as hub_errors

from pairchain.errors import (
    AccessDeniedError,
    InputError,
    RevisionNotFoundError,
    SourceError,
    SourceNotFoundError,
)


class HubApi(huggingface_hub.HfApi):
    """The Hub, which remembers that it could not be asked; `resolve_revision` falls back to the cache without a word.

    Attributes:
        is_unreachable: Whether the last question had no answer, or that of a server that is down.
    """

    is_unreachable = False

    def repo_info(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the Hub knows of a repository; the Hub library's own limit to such a wait holds here too."""
        self.is_unreachable = True
        try:
            info = super().repo_info(*args, **{"timeout": huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT, **kwargs})
        except hub_errors.HfHubHTTPError as error:
            self.is_unreachable = error.response.status_code >= 500
            raise
        self.is_unreachable = False
        return info


@contextmanager
def hub_failures(
    name: str, revision: str | None, *, path: str = "", is_offline: bool = False, cache_folder: str | None = None
) -> Iterator[None]:
    """Turn the Hub library's errors into ours; a missing file stays `EntryNotFoundError` for the caller.

    Args:
        name: The repository.
        revision: The revision that was asked for, or None.
        path: The file that was asked for; empty for the repository.
        is_offline: Whether only files downloaded earlier may be used.
        cache_folder: Where downloads are kept, or None for the Hub library's default.
    """
    what = f"the repository {name!r}"
    wanted = f"{path} of {what}" if path else what
    try:
        yield
    except hub_errors.HFValidationError as error:
        raise InputError(f"{name!r} names neither a folder nor a repository: {error}") from error
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
            f"{what} has no revision {revision!r}.",
            next_step="name a branch, a tag, a commit or a ref such as refs/pr/11.",
        ) from error
    except (hub_errors.LocalEntryNotFoundError, hub_errors.RevisionResolutionError) as error:
        if isinstance(error, hub_errors.LocalEntryNotFoundError) and is_offline:
            raise hub_errors.EntryNotFoundError(str(error)) from error
        raise SourceError(
            f"{wanted} cannot be reached, and no copy of {revision or 'its default branch'} is in the cache.",
            where=cache_folder or huggingface_hub.constants.HF_HUB_CACHE,
            next_step="connect, or download it first; HF_HUB_OFFLINE and local_files_only forbid downloads.",
        ) from error
    except hub_errors.EntryNotFoundError:
        raise
    except Exception as error:  # the HTTP client's own errors differ between versions of the Hub library
        raise SourceError(
            f"{wanted} cannot be downloaded: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            next_step="try again; what was downloaded so far is kept.",
        ) from error
