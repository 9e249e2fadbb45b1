"""Tells whether a model keeps something in itself when it runs, such as positions or states of recurrent layers.

Several batches of such a model must not run at once.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from pairchain_transformer.execution.proofs import Known

# Rotary embeddings of these kinds change with the longest input.
_CHANGING_ROTATIONS = frozenset({"dynamic", "longrope"})


def may_run_at_once(known: Known) -> bool:
    """Return whether several batches may run at once: nothing keeps anything, and nothing else sees them run."""
    return known.is_open() and known.find(
        ("keeps nothing",), lambda: not any(map(_keeps, known.model.modules())), False
    )


def _keeps(module: nn.Module) -> bool:
    rotation: Any = getattr(module, "rope_type", None)
    kinds = set(rotation.values()) if isinstance(rotation, dict) else {rotation}
    kind: Any = type(module)
    return not _CHANGING_ROTATIONS.isdisjoint(kinds) or stores_into_itself(kind)


@cache
def stores_into_itself(cls: Any) -> bool:
    """Return whether the ``forward`` of a class, or a method that it calls, sets attributes of the instance."""
    waiting, seen = ["forward"], set()
    while waiting:
        name = waiting.pop()
        method = inspect.unwrap(getattr(cls, name, None) or _nothing)
        if name in seen or not isinstance(method, FunctionType) or method.__module__.startswith("torch."):
            continue
        seen.add(name)
        code = method.__code__
        if "register_buffer" in code.co_names or any(_stores(code)):
            return True
        waiting += code.co_names
    return False


def _stores(code: CodeType) -> Iterator[bool]:
    """Yield for each instruction whether it sets an attribute of the first argument, ``self``."""
    own = code.co_varnames[0] if code.co_argcount else ""
    before = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR":
            yield before == own
        # some instructions load two variables; an augmented assignment swaps the instance with the value
        loaded = instruction.argval
        if instruction.opname == "SWAP":
            before = own
        elif instruction.opname.startswith("LOAD_FAST"):
            before = loaded[-1] if isinstance(loaded, tuple) else loaded
        else:
            before = ""


def _nothing() -> None: ...
