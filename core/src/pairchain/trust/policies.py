"""What one load may run: the policy its caller chose, visible to every load nested inside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairchain.code.bundle import Code, CodeFile
from pairchain.errors import InputError, TrustRequiredError, warn
from pairchain.text.nearest import nearest

if TYPE_CHECKING:
    from pairchain.files.source import Source
    from pairchain.format.foreign_settings import ForeignSettings
    from pairchain.looking.pinning import Lock

_APPROVAL = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}|sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Policy:
    """What the caller of a load allows.

    Attributes:
        trust_remote_code: Whether code that comes with a model may run: all of it, none, or what approvals name, each
            ``owner/name@commit`` or ``sha256:digest``.
        allow_pickle: Whether weights may be read from a pickle, through torch's restricted loader.
        code_revisions: For a repository that code comes from, the revision to take; under ``""`` for all others.
        lock: What every file has to be, or None.
        repositories: What the load takes code from so far, by name and revision: a branch may move meanwhile.
    """

    trust_remote_code: bool | tuple[str, ...] = False
    allow_pickle: bool = False
    code_revisions: Mapping[str, str] = field(default_factory=dict)
    lock: Lock | None = None
    repositories: dict[tuple[str, str | None], Source] = field(default_factory=dict, compare=False)
    _asked: set[str] = field(default_factory=set, compare=False, repr=False)

    def approves(self, code: Code) -> bool:
        """Return whether ``code`` may run."""
        if isinstance(self.trust_remote_code, bool):
            return self.trust_remote_code
        approvals = {code.approval, f"sha256:{code.digest}"}
        return not approvals.isdisjoint(self.trust_remote_code)

    def approves_settings(self, settings: ForeignSettings) -> bool:
        """Return whether ``settings`` may reach what they do."""
        if isinstance(self.trust_remote_code, bool):
            return self.trust_remote_code
        # to make the approval of a folder, all of it is read
        return bool(self.trust_remote_code) and settings.approval in self.trust_remote_code

    def locked_revision(self, model: str | os.PathLike[str]) -> str | None:
        """Return the commit that ``model`` was locked at, or None if nobody says."""
        return None if self.lock is None else self.lock.revision_of(model)

    def revision_of(self, repository: str, saved: str) -> str | None:
        """Return the revision of a repository that code is taken from, or None if nobody says.

        Asked in this order: the caller; the model, for a commit; the lock; the approvals; the model, for a branch.
        """
        self._asked.add(repository)
        approved = [] if isinstance(self.trust_remote_code, bool) else self.trust_remote_code
        commits = [approval.partition("@")[2] for approval in approved if approval.startswith(f"{repository}@")]
        locked = self.lock.code_commit(repository) if self.lock is not None else None
        given = self.code_revisions.get(repository) or self.code_revisions.get("")
        pinned = saved if _COMMIT.fullmatch(saved) else None
        return given or pinned or locked or next(iter(commits), None) or saved or None

    def warn_of_idle_revisions(self) -> None:
        """Warn of repositories whose revision the caller named, and that the load took no code from."""
        for name in sorted({*self.code_revisions} - {"", *self._asked}):
            warn(f"code_revision names {name!r}, but this model takes no code from there{nearest(name, self._asked)}.")


def policy_of(
    trust_remote_code: bool | Sequence[str],
    allow_pickle: bool,
    code_revision: str | Mapping[str, str] | None,
    lock: str | os.PathLike[str] | Lock | None,
) -> Policy:
    """Return what the caller of a load allows, from what it passed.

    Raises:
        InputError: An argument makes no sense.
        FormatError: The lock cannot be read.
    """
    # locking asks what a load would run, and so needs what is here
    from pairchain.looking.pinning import as_lock

    revisions = {"": code_revision} if isinstance(code_revision, str) else dict(code_revision or {})
    return Policy(_checked(trust_remote_code), bool(allow_pickle), revisions, None if lock is None else as_lock(lock))


def _checked(value: bool | Sequence[str]) -> bool | tuple[str, ...]:
    """Return what the caller passed as ``trust_remote_code``.

    Raises:
        InputError: It is neither True nor False nor a list of approvals.
    """
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _no_approval(value, value)
    for approval in value:
        if not isinstance(approval, str) or not _APPROVAL.fullmatch(approval):
            raise _no_approval(value, approval)
    return tuple(value)


def _no_approval(value: object, approval: object) -> InputError:
    return InputError(
        f"trust_remote_code is {value!r}; {approval!r} is no approval.",
        next_step="pass True, False, or a list of 'owner/name@<commit, 40 hex digits>' and 'sha256:<64 hex digits>'; "
        "a refusal prints the one to pass.",
    )


# A context, not an argument: a module's `load` calls helpers, and third parties write those calls, so an argument would
# be dropped on the way by the first author who has never heard of it.
_NOTHING = Policy()
_current: ContextVar[Policy] = ContextVar("pairchain_policy", default=_NOTHING)


def current_policy() -> Policy:
    """Return the policy of the load that is going on, or one that allows nothing."""
    return _current.get()


def is_loading() -> bool:
    """Return whether a load goes on, so that somebody chose the current policy."""
    return _current.get() is not _NOTHING


@contextmanager
def allowing(policy: Policy) -> Iterator[None]:
    """Make ``policy`` the current one inside the block."""
    token = _current.set(policy)
    try:
        yield
    finally:
        _current.reset(token)


def require_trust(asked: Mapping[str, Code]) -> None:
    """Raise unless all of the code that is asked for may run in the load that is going on.

    Args:
        asked: What would run, by what it would run for, such as ``the type 'head.Head'``.

    Raises:
        TrustRequiredError: It says what would run, where to read it, and what to pass to allow it.
    """
    policy = current_policy()
    refused = {purpose: code for purpose, code in asked.items() if not policy.approves(code)}
    if not refused:
        return
    listing = "\n".join(
        line
        for purpose, code in refused.items()
        for line in (f"  for {purpose}:", *(f"    {described(file)}" for file in code.files))
    )
    approvals = sorted({code.approval for code in refused.values()})
    raise TrustRequiredError(
        f"this model brings code of its own, and nothing of it was run. It would run:\n{listing}",
        where=", ".join(dict.fromkeys(str(code.source) for code in refused.values())),
        next_step=f"read it, and if you agree pass trust_remote_code={approvals!r}.",
        approvals=tuple(approvals),
    )


def require_settings(settings: ForeignSettings, *, may_be_trusted: bool = True) -> None:
    """Raise unless ``settings`` may reach what they do in the load that is going on.

    Args:
        settings: The settings.
        may_be_trusted: Whether trust in the model is trust in them, as it is not for those of another repository.

    Raises:
        TrustRequiredError: It lists every one, and says what to pass to allow it.
    """
    if may_be_trusted and current_policy().approves_settings(settings):
        return
    approvals = (settings.approval,) if may_be_trusted else ()
    allow = f", or allow all of them with trust_remote_code={list(approvals)!r}" if approvals else ""
    listing = "\n".join(f"  {setting}" for setting in settings.settings)
    raise TrustRequiredError(
        "this model's settings reach other libraries, programs or repositories, and nothing of it was loaded:\n"
        f"{listing}",
        where=str(settings.source),
        next_step=f"read them, and if you agree pass these yourself, in processor_kwargs or config_kwargs{allow}.",
        approvals=approvals,
    )


def described(file: CodeFile) -> str:
    """Return one line on a file of code: where to read it, how large it is, what it imports."""
    imports = f", imports {', '.join(file.imports)}" if file.imports else ", imports nothing"
    return f"{file.shown_at} ({len(file.content):,} bytes{imports})"
