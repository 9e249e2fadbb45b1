"""What a caller may ask for in ``model_kwargs``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairchain_packed.families.entries import NotTakenError

DTYPES = ("float32", "float16", "bfloat16")

# Keywords of the library that change nothing here, with the values that do not.
_WITHOUT_EFFECT: Mapping[str, tuple[Any, ...]] = {
    "low_cpu_mem_usage": (None, False, True),
    "use_safetensors": (None, True),
    "attn_implementation": (None,),
    "device_map": (None,),
    "ignore_mismatched_sizes": (None, False),
}


@dataclass(frozen=True)
class Options:
    """The caller's wishes.

    Attributes:
        dtype: The dtype to compute with; empty for the saved one.
        int8: Whether linear layers inside the layers compute with 8-bit integers.
    """

    dtype: str = ""
    int8: bool = False


def options_of(given: Mapping[str, Any]) -> Options:
    """Return the options in ``model_kwargs``.

    Raises:
        NotTakenError: An option is not known.
    """
    rest = dict(given)
    dtype, older = rest.pop("dtype", None), rest.pop("torch_dtype", None)
    dtype = older if dtype is None else dtype
    name = "" if dtype is None else str(dtype).removeprefix("torch.")
    if name == "auto":
        name = ""
    if name and name not in DTYPES:
        raise NotTakenError(f"it does not compute with the dtype {dtype!r}")
    int8 = rest.pop("int8", False)
    if not isinstance(int8, bool):
        raise NotTakenError(f"int8 is {int8!r} in model_kwargs, not True or False")
    for key, value in rest.items():
        if not any(value is known for known in _WITHOUT_EFFECT.get(key, ())):
            raise NotTakenError(f"it does not know {key!r} in model_kwargs")
    return Options(name, int8)
