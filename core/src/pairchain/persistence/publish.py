"""Pushes a chain to a Hub repository: saves it to a temporary folder, and uploads that as one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairchain.errors import SourceError
from pairchain.files.names import belongs_to_model
from pairchain.persistence.model_card import renamed

if TYPE_CHECKING:
    import huggingface_hub

_CARD = "README.md"
# The Hub's status if the branch moved past the parent of the new commit.
_CHANGED_MEANWHILE = 412
_ATTEMPTS = 5


def push_folder(
    write: Callable[[Path], None],
    repo_id: str,
    *,
    token: str | bool | None,
    private: bool | None,
    exist_ok: bool,
    revision: str | None,
    create_pr: bool,
    commit_message: str,
    replace_model_card: bool,
) -> str:
    """Commit the files that ``write`` writes into a folder, and return the URL; see `CrossEncoder.push_to_hub`."""
    # slow to import, and only a push needs it
    import huggingface_hub

    api = huggingface_hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        # first, so that a chain that cannot be saved changes nothing on the Hub
        write(Path(folder))
        try:
            asked, repo_id = repo_id, api.create_repo(repo_id, private=private, exist_ok=exist_ok or create_pr).repo_id
            if revision is not None and not create_pr:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            if asked != repo_id and (card := Path(folder, _CARD)).exists():
                # the Hub adds the owner to a name without one; others need the full name to load the model
                card.write_text(renamed(card.read_text(encoding="utf-8"), asked, repo_id), encoding="utf-8")
            written = {path.relative_to(folder).as_posix(): path for path in Path(folder).rglob("*") if path.is_file()}
            kept = () if replace_model_card else (_CARD,)
            options = {"revision": revision, "create_pr": create_pr, "commit_message": commit_message}
            commit = _committed(api, repo_id, written, kept, options)
        except Exception as error:  # the HTTP client's own errors differ between versions of the Hub library
            raise SourceError(
                f"the model cannot be pushed to {repo_id!r}: {type(error).__name__}: {' '.join(str(error).split())}",
                next_step="check the name and the token (`hf auth login`); exist_ok=True pushes to an existing one.",
            ) from error
    return str(commit.pr_url or commit.commit_url)


def _committed(
    api: huggingface_hub.HfApi,
    repo_id: str,
    written: Mapping[str, Path],
    kept: Collection[str],
    options: dict[str, Any],
) -> huggingface_hub.CommitInfo:
    """Commit ``written`` on top of the newest commit; try again if another commit came between."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    for attempt in range(1, _ATTEMPTS + 1):
        parent = api.repo_info(repo_id, revision=options["revision"]).sha
        there = api.list_repo_files(repo_id, revision=parent)
        deleted = [CommitOperationDelete(path) for path in _outdated(there, written)]
        added = [CommitOperationAdd(path, written[path]) for path in sorted(written.keys() - ({*kept} & {*there}))]
        try:
            # not upload_folder, which may make several commits; between two of them the repository holds half a model
            commit: huggingface_hub.CommitInfo = api.create_commit(
                repo_id, [*deleted, *added], parent_commit=parent, **options
            )
            return commit
        except HfHubHTTPError as error:
            if attempt == _ATTEMPTS or getattr(error.response, "status_code", None) != _CHANGED_MEANWHILE:
                raise
    raise AssertionError


def _outdated(there: Iterable[str], written: Collection[str]) -> list[str]:
    """Return the older model's files that a load of the new one would find; a save to a folder deletes them too."""
    tops = {path.partition("/")[0] for path in written}
    return [
        path
        for path in there
        if path not in written and ((top := path.partition("/")[0]) in tops or belongs_to_model(top))
    ]
