"""How a model is chosen and what of it may run, as options of a command and as what `CrossEncoder` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pairchain import CrossEncoder
    from pairchain.report import Report

# What says that any code may run, in place of approvals.
ALL = "all"

Model = Annotated[
    str, typer.Argument(help="Folder of the model, or its repository on the Hub.", show_default=False, metavar="MODEL")
]
Device = Annotated[
    str | None, typer.Option(help="Where to compute, such as cuda:1; the first accelerator if not given.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag, commit or ref; resolved once to a commit.")]
Subfolder = Annotated[str, typer.Option(help="Folder of the repository that the model is in.")]
CodeRevision = Annotated[str | None, typer.Option(help="Revision of other repositories that its code is in.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-remote-code",
        metavar="APPROVAL",
        help="Code of the model that may run: owner/name@commit or sha256:…, as the refusal prints it; may be given "
        f"again. '{ALL}' allows any.",
    ),
]
Lock = Annotated[Path | None, typer.Option(help="A lock that every file has to match.", dir_okay=False)]
AllowPickle = Annotated[bool, typer.Option("--allow-pickle", help="Read weights from a pickle if there is no other.")]


@dataclass(frozen=True)
class Wanted:
    """A model that a user asked for, and what of it may run.

    Attributes:
        name: Its folder or repository.
        device, revision, subfolder, code_revision, lock, allow_pickle: As for `CrossEncoder`.
        trusted: Approvals, or `ALL`.
    """

    name: str
    device: str | None = None
    revision: str | None = None
    subfolder: str = ""
    code_revision: str | None = None
    trusted: Sequence[str] = ()
    lock: Path | None = None
    allow_pickle: bool = False

    @property
    def trust_remote_code(self) -> bool | list[str]:
        """What `CrossEncoder` takes under that name."""
        return True if ALL in self.trusted else list(self.trusted)

    def load(self) -> CrossEncoder:
        """Return the model.

        Raises:
            PairchainError: As `CrossEncoder` does; a refusal says which options would allow its code.
        """
        from pairchain import CrossEncoder
        from pairchain.errors import TrustRequiredError

        options: dict[str, Any] = {
            "device": self.device,
            "revision": self.revision,
            "subfolder": self.subfolder,
            "code_revision": self.code_revision,
            "trust_remote_code": self.trust_remote_code,
            "lock": self.lock,
            "allow_pickle": self.allow_pickle,
        }
        try:
            return CrossEncoder(self.name, **options)
        except TrustRequiredError as error:
            wanted = " ".join(f"--trust-remote-code {approval}" for approval in error.approvals)
            raise TrustRequiredError(
                error.what,
                where=error.where,
                next_step=f"read it, and if you agree add {wanted}",
                approvals=error.approvals,
            ) from error

    def inspect(self, commit: str | None) -> Report:
        """Return what the files of the model tell, at the commit that was loaded.

        Raises:
            SourceError: They cannot be had again.
        """
        from pairchain import inspect

        return inspect(self.name, revision=commit, subfolder=self.subfolder, code_revision=self.code_revision)
