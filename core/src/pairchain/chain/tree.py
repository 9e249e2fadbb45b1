"""Prints modules as `torch.nn.Module` does, with control characters escaped: a saved model may name its modules."""

from __future__ import annotations

from torch import nn

from pairchain.text.escaping import harmless, on_one_line, shortened

_LONGEST_NAME = 100
_LONGEST_LINE = 2_000
_MOST_LINES = 1_000


def tree_of(module: nn.Module) -> str:
    """Return the ``repr`` of ``module`` and the modules inside, with escaped names and shortened lines."""
    inside = [line for line in module.extra_repr().split("\n") if line]
    for name, child in module._modules.items():
        is_plain = type(child).__repr__ is nn.Module.__repr__
        shown = tree_of(child) if is_plain and child is not None else repr(child)
        inside.append(f"({on_one_line(name, _LONGEST_NAME)}): " + shown.replace("\n", "\n  "))
    title = type(module).__name__
    if len(inside) == 1 and not module._modules:
        return _shortened(f"{title}({inside[0]})")
    return _shortened(f"{title}(\n  " + "\n  ".join(inside) + "\n)" if inside else f"{title}()")


def _shortened(text: str) -> str:
    lines = [shortened(harmless(shortened(line, _LONGEST_LINE)), _LONGEST_LINE) for line in text.split("\n")]
    more = len(lines) - _MOST_LINES
    return "\n".join([*lines[:_MOST_LINES], f"… and {more:,} more lines"] if more > 0 else lines)
