"""Checks of parts: one position of a feature, read or written instead of the full feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pairchain.chain.keywords import named_keywords, takes_any
from pairchain.chain.parts import Part
from pairchain.testing.features import MASK, copied, difference
from pairchain.testing.subject import Subject
from pairchain.testing.words import broken


def check_reads_part(subject: Subject, tolerance: float) -> None:
    """Fail unless the part in ``reads_part`` gives the same result as the full feature."""
    parts: Mapping[str, Part] = getattr(subject.module, "reads_part", None) or {}
    for feature, part in parts.items():
        whole = subject.features.get(feature)
        if not isinstance(whole, torch.Tensor) or whole.ndim != 3:
            broken(
                f"{subject.name}.reads_part names {feature!r}, which is not a feature of shape (pairs, tokens, size) "
                "that it reads.",
                expected="a part is one token's row of a feature.",
                next_step="take it out of reads_part.",
            )
        others = {name: value for name, value in subject.features.items() if name != feature}
        expected = subject.run(subject.features)
        given = part_of(whole, part, subject.features.get(MASK))
        kept = given.clone()
        after = subject.run_on({**copied(others), part.of(feature): given})
        if difference(given, kept, 0.0):
            broken(
                f"{subject.name}.forward changed {part} of {feature!r} in place.",
                expected="a module does not change the tensors that it reads, because other modules read them too.",
                next_step="compute a new tensor: `x = x * 2` instead of `x *= 2`, `add` instead of `add_`.",
            )
        for name in sorted(subject.written - {feature}):
            if found := difference(after.get(name), expected[name], tolerance):
                broken(
                    f"{subject.name} wrote {name!r} differently from {part} of {feature!r} than from all of it: "
                    f"{found}.",
                    expected="reads_part says that this part is enough, so the module before may write only the part.",
                    next_step=f"read features.get({part.of(feature)!r}) if it exists, else the same position of the "
                    "full feature; or take it out of reads_part.",
                )


def check_offers_parts(subject: Subject, tolerance: float) -> None:
    """Fail unless the module writes the parts in ``offers_parts`` as in the full feature, or the full feature."""
    offered = sorted(getattr(subject.module, "offers_parts", ()))
    if not offered:
        return
    forward = subject.module.forward
    if "parts" not in named_keywords(forward) and not takes_any(forward):
        broken(
            f"{subject.name} offers parts of {', '.join(offered)}, but its forward takes no `parts`.",
            expected="the chain passes `parts` to forward, which says what is read.",
            next_step="write forward(self, features, parts=None, **kwargs), or leave offers_parts out.",
        )
    whole = subject.run(subject.features)
    for feature in offered:
        for part in (Part("first"), Part("last"), Part("last", (0,))):
            if part.position == "first" and _is_cut(whole, feature):
                continue
            after = subject.run(subject.features, parts={feature: part})
            if part.of(feature) in after:
                written, expected = after[part.of(feature)], part_of(whole[feature], part, whole.get(MASK))
            else:
                written, expected = after.get(feature), whole[feature]
            if found := difference(written, expected, tolerance):
                broken(
                    f"{subject.name} was asked for {part} of {feature!r}, but wrote something else than that part of "
                    f"the full feature: {found}.",
                    expected="a part has the values of the full feature at that position, in shape (pairs, columns).",
                    next_step="write the full feature for other parts; skip padding when you count positions.",
                )


def _is_cut(features: Mapping[str, Any], feature: str) -> bool:
    """Return whether a feature lacks the first positions: a model may write only the last ones."""
    mask = features.get(MASK)
    return isinstance(mask, torch.Tensor) and features[feature].shape[:2] != mask.shape


def part_of(whole: torch.Tensor, part: Part, mask: Any) -> torch.Tensor:
    """Return a part of a feature.

    Args:
        whole: Shape (pairs, tokens, size).
        part: The part.
        mask: Shape (pairs, tokens), 0 for padding; None or another shape if there is none.
    """
    if not isinstance(mask, torch.Tensor) or mask.shape != whole.shape[:2]:
        mask = torch.ones(whole.shape[:2], dtype=torch.int64)
    present = (mask != 0).int()
    if part.position == "first":
        positions = present.argmax(dim=1)
    else:
        positions = present.shape[1] - 1 - present.flip(1).argmax(dim=1)
    rows = whole[torch.arange(len(whole)), positions]
    return rows if part.columns is None else rows[:, list(part.columns)]
