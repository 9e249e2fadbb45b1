"""The Hugging Face Hub: its API, and its library's errors turned into pairchain's."""

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
    """The Hub's API; records whether the Hub answered, because `resolve_revision` silently falls back to the cache."""

    # whether the last request got no answer, or a server error
    is_unreachable = False

    def repo_info(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Hub's description of a repository; wait no longer than the Hub library does for metadata."""
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
    """Turn the Hub library's errors about a repository, or its file ``path``, into pairchain's.

    A missing file stays `EntryNotFoundError`, for the caller.
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
            next_step="request access on its page, then log in with `hf auth login` or pass token=.",
        ) from error
    except hub_errors.LocalTokenNotFoundError as error:
        raise AccessDeniedError(
            f"token=True sends the stored token to {what}, but no token is stored.",
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
            where=f"{cache_folder or huggingface_hub.constants.HF_HUB_CACHE}; no such folder in {Path.cwd()} either",
            next_step="go online, or download it first; HF_HUB_OFFLINE and local_files_only forbid downloads.",
        ) from error
    except hub_errors.EntryNotFoundError:
        raise
    except Exception as error:  # the HTTP client's errors differ between versions of the Hub library
        raise SourceError(
            f"{wanted} cannot be downloaded: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            next_step="try again; the files downloaded so far are kept.",
        ) from error
