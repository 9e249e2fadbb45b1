"""Checks that a module computes in other dtypes and on other devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pairchain.chain.device import default_device, on_tensors, to_device
from pairchain.chain.module import Features
from pairchain.facts import SCORES
from pairchain.testing.author import Author
from pairchain.testing.features import cast, copied, difference
from pairchain.testing.subject import Subject
from pairchain.testing.words import broken, described

_META = torch.device("meta")
# torch's error for operations that a machine cannot compute in a dtype
_UNAVAILABLE = "not implemented for"
_ON_TWO_DEVICES = ("same device", "two devices", "expected device")


class MovingChecks(Author):
    """Checks of a module that is moved; see `ModuleContract`."""

    def test_it_computes_in_other_dtypes(self) -> None:
        """It computes nearly the same in each of `dtypes`."""
        for dtype in self.dtypes:
            tolerance = self.half_tolerance if dtype.itemsize < 4 else self.tolerance
            subject = self._subject()
            written = subject.run(subject.features)
            expected = {name: written[name] for name in subject.written}
            # the modules before it have the same dtype
            features = subject.features if self._is_first else cast(subject.features, dtype)
            _check_dtype(replace(subject, features=features), dtype, expected, tolerance)

    def test_it_moves_to_another_device(self) -> None:
        """All its tensors move with it, and new ones are on its device."""
        _check_nothing_stays(self._subject().module)
        if not self._is_first:
            _check_without_numbers(self._subject())
        if (device := default_device()).type != "cpu":
            _check_device(self._subject(), device, self.tolerance)


def _check_dtype(subject: Subject, dtype: torch.dtype, expected: Features, tolerance: float) -> None:
    subject.module.to(dtype)
    try:
        with torch.inference_mode():
            after = subject.module(copied(subject.features))
    except Exception as error:
        if _UNAVAILABLE in str(error):
            return
        broken(
            f"{subject.name} raised an error after module.to({dtype}): {described(error)}",
            expected="a chain moves to the dtype of its model, and so do its features.",
            next_step=f"make new tensors in the dtype of those that you read: torch.zeros(…, dtype=x.dtype). If it "
            f"cannot compute in {dtype}, leave that out of `dtypes`.",
        )
    for name in sorted(expected):
        value = after.get(name)
        if name != SCORES and isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype != dtype:
            broken(
                f"{subject.name} wrote {name!r} in {value.dtype} after module.to({dtype}).",
                expected="a module writes features in the dtype of the chain, in which the next module computes; only "
                "scores may be wider.",
                next_step="write it in the dtype of what you read: features['…'] = result.to(x.dtype).",
            )
        found = difference(value, expected[name], tolerance)
        if found and isinstance(expected[name], torch.Tensor) and expected[name].is_floating_point():
            broken(
                f"{subject.name} wrote {name!r} in {dtype} far from what it wrote in float32: {found}.",
                expected=f"the dtype changes results by rounding only, up to {tolerance:g} of the largest number.",
                next_step="compute sums and differences of many numbers in float32: x.float(). If it is rounding, "
                "raise `tolerance` or `half_tolerance`.",
            )


def _check_nothing_stays(module: nn.Module) -> None:
    module.to(_META)
    package = type(module).__module__.partition(".")[0]
    for path, inner in module.named_modules():
        # other libraries may move their own tensors
        if type(inner).__module__.partition(".")[0] != package:
            continue
        for name, value in vars(inner).items():
            if name not in ("_parameters", "_buffers", "_modules") and any(map(_is_elsewhere, _tensors_in(value))):
                attribute = f"{path}.{name}" if path else name
                broken(
                    f"{type(module).__name__} was moved, and its tensor {attribute!r} stayed where it was.",
                    expected="all tensors of a module move with it.",
                    next_step=f'register it: self.register_buffer("{name}", …), with persistent=False if it need not '
                    "be saved; or torch.nn.Parameter(…) for a weight.",
                )


def _check_without_numbers(subject: Subject) -> None:
    """Run the module on the meta device, which exists on every machine: tensors there have shapes but no numbers."""
    names = sorted(subject.written)
    subject.module.to(_META)
    try:
        with torch.inference_mode():
            after = subject.module(to_device(copied(subject.features), _META))
    except Exception as error:
        if any(text in str(error) for text in _ON_TWO_DEVICES):
            _stayed(subject.name, described(error))
        # a module that looks at numbers cannot run here
        return
    for name in names:
        if any(map(_is_elsewhere, _tensors_in(after.get(name)))):
            _stayed(subject.name, f"it wrote {name!r} on the CPU")


def _check_device(subject: Subject, device: torch.device, tolerance: float) -> None:
    names, expected = sorted(subject.written), subject.run(subject.features)
    subject.module.to(device)
    try:
        with torch.inference_mode():
            after = subject.module(to_device(copied(subject.features), device))
    except Exception as error:
        _stayed(subject.name, described(error))
    for name in names:
        if any(tensor.device.type != device.type for tensor in _tensors_in(after.get(name))):
            _stayed(subject.name, f"it wrote {name!r} elsewhere than on {device}")
        there = on_tensors(torch.Tensor.cpu, after.get(name))
        if found := difference(there, expected[name], max(tolerance, 1e-3)):
            _stayed(subject.name, f"it wrote {name!r} on {device} far from what it wrote on the CPU: {found}")


def _stayed(name: str, what: str) -> None:
    broken(
        f"{name} does not compute on the device that it was moved to: {what}",
        expected="forward writes its features on the device of those that it reads.",
        next_step="create new tensors there: torch.zeros(…, device=x.device), torch.arange(…, device=x.device).",
    )


def _is_elsewhere(tensor: torch.Tensor) -> bool:
    return tensor.device != _META


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    found: list[torch.Tensor] = []
    on_tensors(lambda tensor: found.append(tensor) or tensor, value)  # type: ignore[func-returns-value]
    yield from found
