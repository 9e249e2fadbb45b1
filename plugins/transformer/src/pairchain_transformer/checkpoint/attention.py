"""Checks that the attention that a caller asks for exists, and that it can run where the model is."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pairchain.authoring import nearest
from pairchain.errors import InputError, PluginError

_FLASH = "flash_attention"
_DEFAULT = "leave it out: the default runs on every device."
_PACKAGES = ("flash_attn", "flash_attn_interface", "kernels")


def check_attention(given: Any) -> None:
    """Check the value of ``attn_implementation``: a name, or names by part of the model.

    Raises:
        InputError: There is no such attention, or it needs a GPU and torch finds none.
        PluginError: It needs a package that is not installed.
    """
    for name in _names(given):
        known = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
        # a name with a slash is a repository of kernels
        if "/" not in name and name.removeprefix("paged|") not in known:
            raise InputError(
                f"there is no attn_implementation {name!r}{nearest(name, known)}.",
                next_step=f"choose among {', '.join(sorted(known))}.",
                argument="attn_implementation",
            )
        if name.startswith(_FLASH) and not _has_gpu():
            raise InputError(
                f"attn_implementation={name!r} needs a GPU, and torch finds none.",
                next_step=_DEFAULT,
                argument="attn_implementation",
            )
        if name.startswith(_FLASH) and torch.cuda.is_available() and not any(map(find_spec, _PACKAGES)):
            raise PluginError(
                f"attn_implementation={name!r} needs the package flash-attn or kernels, and neither is installed.",
                distribution="pairchain-transformer",
                next_step=f"install one of them, or {_DEFAULT}",
                argument="attn_implementation",
            )


def check_place_of_attention(model: Any) -> None:
    """Raise an InputError if a model on the CPU computes attention with kernels for GPUs."""
    config = model.config
    parts = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", ()))]
    for name in (str(getattr(part, "_attn_implementation", None)) for part in parts):
        if name.startswith(_FLASH) and model.device.type == "cpu":
            raise InputError(
                f"the model was loaded with attn_implementation={name!r}, which needs a GPU, and it is on the CPU.",
                next_step="move it with model.to('cuda'), or load it without attn_implementation.",
                argument="attn_implementation",
            )


def _names(given: Any) -> list[str]:
    values = given.values() if isinstance(given, Mapping) else [given]
    return [str(name) for name in values if name is not None]


def _has_gpu() -> bool:
    kinds = (getattr(torch, name, None) for name in ("cuda", "xpu", "npu", "mlu", "musa"))
    return any(kind is not None and kind.is_available() for kind in kinds)
