"""What one load may run: the policy its caller chose, visible to every load nested inside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pairchain.errors import TrustRequiredError


@dataclass(frozen=True)
class Policy:
    """What the caller of a load allows.

    Attributes:
        trust_remote_code: Whether code that comes with a model may run.
        allow_pickle: Whether weights may be read from a pickle, through torch's restricted loader.
    """

    trust_remote_code: bool = False
    allow_pickle: bool = False


# A context, not an argument: a module's `load` calls helpers, and third parties write those calls, so an argument would
# be dropped on the way by the first author who has never heard of it.
_NOTHING = Policy()
_current: ContextVar[Policy] = ContextVar("pairchain_policy", default=_NOTHING)


def current() -> Policy:
    """Return the policy of the load that is going on, or one that allows nothing."""
    return _current.get()


@contextmanager
def allowing(policy: Policy) -> Iterator[None]:
    """Make ``policy`` the current one inside the block."""
    token = _current.set(policy)
    try:
        yield
    finally:
        _current.reset(token)


def needs_trust(type_name: str, *, code: str) -> TrustRequiredError:
    """Return the error for a type whose code comes with a model.

    Args:
        type_name: The type asked for.
        code: Where its code is, such as ``user/repo at main`` or a file's path.
    """
    done = "this version of pairchain runs no such code" if current().trust_remote_code else "it was not run"
    return TrustRequiredError(
        f"the type {type_name!r} is code that comes with a model; {done}.",
        where=code,
        next_step=f"read the code, and if you agree with it pass the class in module_classes={{{type_name!r}: cls}}.",
    )
