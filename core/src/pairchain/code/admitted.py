"""The code that may be imported in this process, and which classes are of it; `importing` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pairchain.code.bundle import Code

# The package that such code is in, each bundle in a package of its own inside.
PACKAGE = "pairchain_custom_code"

# By the name of its package.
CODES: dict[str, Code] = {}


def admitted() -> tuple[Code, ...]:
    """Return all code that may be imported in this process."""
    return tuple(CODES.values())


def code_of(cls: type) -> Code | None:
    """Return the code that defines ``cls``, or None if it did not come with a model."""
    package, _, rest = cls.__module__.partition(".")
    return CODES.get(rest.partition(".")[0]) if package == PACKAGE else None


@contextmanager
def noting_origin(cls: type, *, called: str) -> Iterator[None]:
    """Add to what is raised inside where it came from, if ``cls`` came with a model.

    Args:
        cls: The class whose code runs inside.
        called: What of it runs, such as ``module 1, Head``.
    """
    try:
        yield
    except Exception as error:
        if (code := code_of(cls)) is not None:
            error.add_note(f"raised by {called}, from {code}")
        raise
