"""The policy that the caller of a load chose: what it may run. Every load nested inside it has the same policy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from pairchain.code.bundle import Code
from pairchain.errors import InputError, PickleRefusedError, TrustRequiredError, warn
from pairchain.files.source import Source
from pairchain.format.foreign_settings import ForeignSettings
from pairchain.text.nearest import nearest
from pairchain.trust.lock import COMMIT, Lock, as_lock

_APPROVAL = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}|sha256:[0-9a-f]{64}")

HOW_TO_ALLOW_PICKLES = "ask for safetensors, or pass allow_pickle=True to read it through torch's restricted loader."


@dataclass(frozen=True)
class Policy:
    """The permissions that the caller of a load grants.

    Attributes:
        trust_remote_code: Whether code that comes with a model may run; or approvals of the code that may, each
            ``owner/name@commit`` or ``sha256:digest``.
        allow_pickle: Whether weights may be read from a pickle, through torch's restricted loader.
        code_revisions: The revision of each repository that holds code, by name; ``""`` stands for all others.
        lock: The lock that every file must match, or None.
        repositories: The repositories that the load has opened, by name and revision, since a branch may move.
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
        """Return whether ``settings`` may reach other libraries and programs."""
        if isinstance(self.trust_remote_code, bool):
            return self.trust_remote_code
        # the approval of a folder hashes every file in it, so it is only computed if there is one to compare
        return bool(self.trust_remote_code) and settings.approval in self.trust_remote_code

    def locked_revision(self, model: str | os.PathLike[str]) -> str | None:
        """Return the commit at which ``model`` was locked, or None if it was not."""
        return None if self.lock is None else self.lock.revision_of(model)

    def revision_of(self, repository: str, saved: str) -> str | None:
        """Return the revision to take of a repository that holds code, or None if nothing pins one.

        The first of these that names one decides: the caller; the model, if it names a commit; the lock; the
        approvals; the model, if it names a branch.
        """
        self._asked.add(repository)
        approved = [] if isinstance(self.trust_remote_code, bool) else self.trust_remote_code
        commits = [approval.partition("@")[2] for approval in approved if approval.startswith(f"{repository}@")]
        code = self.lock.code.get(repository) if self.lock is not None else None
        locked = code.commit if code is not None else None
        given = self.code_revisions.get(repository) or self.code_revisions.get("")
        pinned = saved if COMMIT.fullmatch(saved) else None
        return given or pinned or locked or next(iter(commits), None) or saved or None

    def warn_of_idle_revisions(self) -> None:
        """Warn if the caller named the revision of a repository that the load took no code from."""
        for name in sorted({*self.code_revisions} - {"", *self._asked}):
            warn(f"code_revision names {name!r}, but this model takes no code from it{nearest(name, self._asked)}.")


def policy_of(
    trust_remote_code: bool | Sequence[str],
    allow_pickle: bool,
    code_revision: str | Mapping[str, str] | None,
    lock: str | os.PathLike[str] | Lock | None,
) -> Policy:
    """Return the policy for the arguments of a load; raise InputError or FormatError if one is malformed."""
    revisions = {"": code_revision} if isinstance(code_revision, str) else dict(code_revision or {})
    approvals = _approvals(trust_remote_code)
    return Policy(approvals, bool(allow_pickle), revisions, None if lock is None else as_lock(lock))


def _approvals(value: bool | Sequence[str]) -> bool | tuple[str, ...]:
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _malformed(value, value)
    for approval in value:
        if not isinstance(approval, str) or not _APPROVAL.fullmatch(approval):
            raise _malformed(value, approval)
    return tuple(value)


def _malformed(value: object, approval: object) -> InputError:
    return InputError(
        f"trust_remote_code is {value!r}, but {approval!r} is not an approval.",
        next_step="pass True, False, or a list of 'owner/name@<commit, 40 hex digits>' and 'sha256:<64 hex digits>'; "
        "the error that refuses code prints the approval to pass.",
    )


# A context variable, not an argument: third parties write modules whose `load` calls helpers, and an author who does
# not know the argument would not pass it on.
_NOTHING = Policy()
_current: ContextVar[Policy] = ContextVar("pairchain_policy", default=_NOTHING)


def current_policy() -> Policy:
    """Return the policy of the load in progress, or one that allows nothing."""
    return _current.get()


def is_loading() -> bool:
    """Return whether a load is in progress, so that a caller chose the current policy."""
    return _current.get() is not _NOTHING


@contextmanager
def allowing(policy: Policy) -> Iterator[None]:
    """Make ``policy`` the current one inside the block."""
    token = _current.set(policy)
    try:
        yield
    finally:
        _current.reset(token)


def require_trust(codes: Mapping[str, Code]) -> None:
    """Raise unless the load in progress allows all of ``codes`` to run.

    Args:
        codes: Code by its purpose, such as ``the type 'head.Head'``.

    Raises:
        TrustRequiredError: It lists the refused code and where to read it, and names the approvals to pass.
    """
    policy = current_policy()
    if refused := {purpose: code for purpose, code in codes.items() if not policy.approves(code)}:
        listing = "\n".join(f"  {line}" for line in code_lines(refused))
        what = f"this model comes with its own code, and none of it was run. It would run:\n{listing}"
        raise trust_required(refused, what)


def trust_required(codes: Mapping[str, Code], what: str) -> TrustRequiredError:
    approvals = sorted({code.approval for code in codes.values()})
    return TrustRequiredError(
        what,
        where=", ".join(dict.fromkeys(str(code.source) for code in codes.values())),
        next_step=f"read it, and if you agree pass trust_remote_code={approvals!r}.",
        approvals=tuple(approvals),
    )


def require_settings(settings: ForeignSettings, *, may_be_trusted: bool = True) -> None:
    """Raise unless the load in progress allows ``settings`` to reach other libraries and programs.

    Args:
        settings: The settings.
        may_be_trusted: Whether trust in the model covers them; it does not cover those of another repository.

    Raises:
        TrustRequiredError: It lists every setting, and names the approval to pass.
    """
    if may_be_trusted and current_policy().approves_settings(settings):
        return
    listing = "\n".join(f"  {setting}" for setting in settings.settings)
    raise settings_refused(
        settings,
        f"this model's settings reach other libraries, programs or repositories; nothing was loaded:\n{listing}",
        [settings.approval] if may_be_trusted else [],
    )


def settings_refused(settings: ForeignSettings, what: str, approvals: Sequence[str]) -> TrustRequiredError:
    allow = f", or allow all of them with trust_remote_code={list(approvals)!r}" if approvals else ""
    return TrustRequiredError(
        what,
        where=str(settings.source),
        next_step=f"read them, and if you agree pass these yourself, in processor_kwargs or config_kwargs{allow}.",
        approvals=tuple(approvals),
    )


def refuse_pickle(source: Source, path: str) -> None:
    """Raise a `PickleRefusedError` unless the load in progress allows weights from a pickle."""
    if not current_policy().allow_pickle:
        raise pickle_refused(source, path)


def pickle_refused(source: Source, path: str) -> PickleRefusedError:
    """Return the error that refuses the pickled weights at ``path`` and says how to allow them."""
    return PickleRefusedError(
        f"the weights are a pickle, {source.path_of(path)}, and reading a pickle can run code.",
        where=str(source),
        next_step=HOW_TO_ALLOW_PICKLES,
    )


def code_lines(codes: Mapping[str, Code]) -> Iterator[str]:
    """Yield lines about code by its purpose: for each file, where to read it, its size, its imports."""
    for purpose, code in codes.items():
        yield f"for {purpose}:"
        for file in code.files:
            imports = ", ".join(file.imports) or "nothing"
            yield f"  {file.shown_at} ({len(file.content):,} bytes, imports {imports})"
