"""HookContract: what pairchain expects of a plugin's hooks, as tests that an author inherits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pairchain import hooks
from pairchain.registry import default
from pairchain.registry.discovery import Found
from pairchain.registry.groups import HOOKS_GROUP
from pairchain.testing.fresh_process import ProcessFailedError, listed_plugins, packages_imported_with
from pairchain.testing.words import broken, explaining, listed

# What a hook is asked about that belongs to no plugin.
_OF_NOBODY: dict[str, dict[str, Any]] = {
    "pairchain_open_source": {"name": "unknown-scheme://model", "revision": None, "cache_folder": None},
    "pairchain_resolve_type": {"type_name": "unknown_package.UnknownType"},
    "pairchain_foresee_type": {"type_name": "unknown_package.UnknownType"},
    "pairchain_offer_import": {"name": "unknown_package"},
}
_HEAVY = frozenset({"torch", "transformers"})


class HookContract:
    """Checks of the hooks of an installed plugin; subclass it in a test file, and name the distribution.

    .. code-block:: python

        class TestHooks(HookContract):
            distribution = "acme-store"

    Attributes:
        distribution: The distribution that announces the hooks in the group ``pairchain.hooks``.
    """

    distribution: str = ""

    def test_its_hooks_are_those_of_pairchain(self) -> None:
        """Each marked function has the name and the arguments of a hook."""
        for found in self._found():
            with explaining(
                f"the hooks in {found.value!r} cannot be used",
                expected="each function marked with pairchain.hookimpl has the name and arguments of a hook.",
                next_step="compare them with `pairchain.hooks.Specification`.",
            ):
                hooks.check_hooks(found)

    def test_it_leaves_to_others_what_is_not_its_own(self) -> None:
        """Asked about names that belong to no plugin, the hooks return None."""
        distribution = self._found()[0].distribution
        for hook, arguments in _OF_NOBODY.items():
            asked = f"{hook}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
            with explaining(
                f"{asked} failed",
                expected="a hook returns None for what it does not know, so that another plugin may answer.",
                next_step="look at the name before anything else.",
            ):
                answers = hooks.ask(hook, distribution=distribution, **arguments)
            if answers:
                broken(
                    f"{asked} returned {answers[0].value!r}.",
                    expected="a hook returns None for what it does not know, so that another plugin may answer.",
                    next_step="answer for your own names only.",
                )

    def test_importing_them_is_fast(self, tmp_path: Path) -> None:
        """Importing the hooks imports neither torch nor transformers: `pairchain inspect` asks every plugin."""
        for found in self._found():
            try:
                imported = packages_imported_with(tmp_path, found.value.partition(":")[0])
            except ProcessFailedError as error:
                broken(
                    f"the hooks in {found.value!r} cannot be imported in a new process: {error}",
                    expected="every process finds an installed plugin.",
                    next_step="install it with `pip install -e .`; a path that a test adds is not enough.",
                )
            if heavy := _HEAVY & imported:
                broken(
                    f"importing {found.value} imported {listed(heavy)}.",
                    expected="every load and every `pairchain inspect` imports the hooks of all plugins.",
                    next_step="import torch, and libraries that import it, inside the hook that needs them.",
                )

    def test_listing_plugins_does_not_import_them(self, tmp_path: Path) -> None:
        """A new process lists the module types, and does not import the hooks' package."""
        packages = {found.value.partition(":")[0].partition(".")[0] for found in self._found()}
        if imported := packages & set(listed_plugins(tmp_path)["imported"]):
            broken(
                f"listing the module types imported {listed(imported)}.",
                expected="plugins are listed from their metadata.",
                next_step="look for a .pth file or a sitecustomize that imports it in every process.",
            )

    def _found(self) -> list[Found]:
        name = canonicalize_name(self.distribution)
        of_it = [one for one in default.installation.find(HOOKS_GROUP) if canonicalize_name(one.distribution) == name]
        if not of_it:
            broken(
                f"no installed distribution {self.distribution!r} announces hooks.",
                expected=f"an entry point in the group {HOOKS_GROUP} names the module with the hooks.",
                next_step=f'write it under [project.entry-points."{HOOKS_GROUP}"] in pyproject.toml, and '
                "`pip install -e .` again; and set `distribution` in the contract.",
            )
        return of_it
