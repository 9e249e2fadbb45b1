"""The code of models that may be imported in this process, and its classes; `importing` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pairchain.code.bundle import Code

# Each bundle is a package inside this one.
PACKAGE = "pairchain_custom_code"

# The bundles by the names of their packages.
CODES: dict[str, Code] = {}


def code_of(cls: type) -> Code | None:
    """Return the code that defines ``cls``, or None if it did not come with a model."""
    package, _, rest = cls.__module__.partition(".")
    return CODES.get(rest.partition(".")[0]) if package == PACKAGE else None


def code_that_raised(error: BaseException) -> Code | None:
    """Return the code of a model in which ``error`` was raised or passed on, the innermost; None if there is none."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        package, _, rest = str(trace.tb_frame.f_globals.get("__name__")).partition(".")
        if package == PACKAGE:
            found = CODES.get(rest.partition(".")[0], found)
        trace = trace.tb_next
    return found


@contextmanager
def noting_origin(cls: type, *, called: str) -> Iterator[None]:
    """If ``cls`` came with a model, note in errors from the block that ``called``, its method, raised them."""
    try:
        yield
    except Exception as error:
        if (code := code_of(cls)) is not None:
            error.add_note(f"raised by {called}, from {code}")
        raise
