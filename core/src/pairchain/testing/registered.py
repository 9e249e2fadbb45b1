"""Checks that an installed plugin registers what a contract is about."""

from __future__ import annotations

from typing import Any

from pairchain.testing.words import broken


def require_registered(registry: Any, name: str, named: str) -> None:
    """Raise an error unless an entry point registers ``name``.

    Args:
        registry: What finds objects of this kind, such as `pairchain.registry.losses`.
        name: The name.
        named: The word for an object of this kind, such as "function".
    """
    if registry.lookup(name) is None:
        group = registry.group
        broken(
            f"no installed plugin registers the {group.noun} {name!r}.",
            expected=f"an entry point in the group {group.name} names the {named}.",
            next_step=f'write it under [project.entry-points."{group.name}"] in pyproject.toml, and '
            "`pip install -e .` again.",
        )
