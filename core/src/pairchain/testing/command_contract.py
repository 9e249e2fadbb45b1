"""CommandContract: what `pairchain` expects of a command, as tests that an author inherits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pairchain.registry import commands
from pairchain.registry.discovery import Found
from pairchain.testing.fresh_process import RanCommand, run_command
from pairchain.testing.words import broken, explaining, listed

_WRONG_USAGE = 2


class CommandContract:
    """Checks of an installed command; subclass it in a test file, and name the command.

    .. code-block:: python

        class TestScale(CommandContract):
            name = "scale"
            examples = [["--help"]]

    Needs pairchain-cli, which provides the command `pairchain`.

    Attributes:
        name: The command, as its entry point in the group ``pairchain.commands`` names it.
        examples: What to type after the name; each has to succeed. They run in an empty folder.
    """

    name: str = ""
    examples: Sequence[Sequence[str]] = ()

    def test_an_installed_plugin_announces_it(self) -> None:
        """One distribution announces the command, and its object loads."""
        found = self._found()
        with explaining(
            f"the command {self.name!r} could not be loaded",
            expected="the entry point leads to a function with typer's annotations, or to a typer.Typer.",
            next_step="correct the entry point, and `pip install -e .` again.",
        ):
            commands.load_found(found)

    def test_listing_commands_does_not_import_it(self, tmp_path: Path) -> None:
        """`pairchain --help` lists the command, and does not import it."""
        found = self._found()
        ran = self._run(tmp_path, "--help")
        if self.name not in ran.output.split():
            broken(
                f"pairchain --help does not list {self.name!r}.",
                expected="every process finds an installed command.",
                next_step="install it with `pip install -e .`; a path that a test adds is not enough.",
            )
        if imported := {found.value.partition(":")[0].partition(".")[0], "torch"} & ran.imported:
            broken(
                f"pairchain --help imported {listed(imported)}.",
                expected="commands are listed from metadata and sources; a plugin is imported when its command runs.",
                next_step="look for a .pth file or a sitecustomize that imports it in every process.",
            )

    def test_its_help_comes_without_torch(self, tmp_path: Path) -> None:
        """`pairchain NAME --help` describes the command, and does not import torch."""
        ran = self._run(tmp_path, self._found().name, "--help")
        if ran.status or "Usage" not in ran.output:
            broken(
                f"pairchain {self.name} --help ended with status {ran.status}: {ran.errors or 'it wrote no usage'}",
                expected="typer writes the usage, from the annotations and the docstring.",
                next_step="annotate the parameters with typer.Argument and typer.Option, and write a docstring.",
            )
        if "torch" in ran.imported:
            broken(
                f"pairchain {self.name} --help imported torch.",
                expected="help comes at once.",
                next_step="import torch, and libraries that import it, inside the function that needs them.",
            )

    def test_wrong_usage_ends_with_2(self, tmp_path: Path) -> None:
        """An option that does not exist ends with status 2."""
        ran = self._run(tmp_path, self._found().name, "--no-such-option")
        if ran.status != _WRONG_USAGE:
            broken(
                f"pairchain {self.name} --no-such-option ended with status {ran.status}.",
                expected=f"wrong usage ends with status {_WRONG_USAGE}, so that scripts can tell it from a failure.",
                next_step="let typer parse the arguments, and raise typer.BadParameter for wrong ones.",
            )

    def test_its_examples_succeed(self, tmp_path: Path) -> None:
        """Each of `examples` ends with status 0."""
        self._found()
        for example in self.examples:
            ran = self._run(tmp_path, self.name, *example)
            if ran.status:
                broken(
                    f"pairchain {' '.join([self.name, *example])} ended with status {ran.status}: {ran.errors}",
                    expected="every example of the contract succeeds.",
                    next_step="repair the command, or the example.",
                )

    def _found(self) -> Found:
        with explaining(
            f"the command {self.name!r} could not be looked up",
            expected="one installed plugin announces it.",
            next_step="choose a name that no other plugin has.",
        ):
            found = commands.lookup(self.name)
        if found is None:
            broken(
                f"no installed plugin announces the command {self.name!r}.",
                expected="an entry point in the group pairchain.commands names the command.",
                next_step=f'write "{self.name or "name"}" = "package.module:function" under '
                '[project.entry-points."pairchain.commands"] in pyproject.toml, and `pip install -e .` again; and set '
                "`name` in the contract.",
            )
        return found

    def _run(self, folder: Path, *arguments: str) -> RanCommand:
        with explaining(
            f"`pairchain {' '.join(arguments)}` broke off",
            expected="the command ends with an exit status.",
            next_step="install pairchain-cli if it is missing; otherwise repair the command.",
        ):
            return run_command(folder, *arguments)
