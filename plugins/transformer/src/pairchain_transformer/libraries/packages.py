"""Checks the optional packages that the transformers library works with, and their versions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pairchain.authoring import Conflict, conflict_advice, conflicts, installed_version
from pairchain.errors import LibraryConflictError, PluginError
from pairchain_transformer.libraries.messages import in_a_line

_DISTRIBUTION = "pairchain-transformer"
# A word in a message about a missing package → the extra of this distribution that installs the package.
_EXTRAS = {
    "torchvision": "video",
    "torchcodec": "video",
    "soundfile": "audio",
    "librosa": "audio",
    "pillow": "image",
    "pil": "image",
}
_LEAST_PEFT = re.compile(r"""^MIN_PEFT_VERSION = ["']([\w.]+)["']""", re.MULTILINE)


def require_peft(reason: str) -> None:
    """Check that peft, which is needed for ``reason``, is installed and fits the installed transformers library.

    Raises:
        PluginError: peft is not installed.
        LibraryConflictError: The versions of the two libraries do not fit each other.
    """
    if installed_version("peft") is None:
        raise PluginError(reason, distribution=_DISTRIBUTION, next_step="pip install 'pairchain-transformer[peft]'")
    if found := _peft_conflicts():
        together = " ".join(f"{name}=={versions_tested()[name]}" for name in ("transformers", "peft"))
        advice = f"{conflict_advice(found)}; or install the versions tested together: pip install {together}"
        raise _conflict_error(f"{reason.rstrip('.')}, and", found, advice)


def refuse_conflicts(reason: Exception) -> None:
    """Raise a LibraryConflictError if the message of ``reason`` names a library whose version does not fit."""
    blamed = str(reason).lower().replace("_", "-")
    if found := [one for one in conflicts(_DISTRIBUTION) if canonicalize_name(Requirement(one.wanted).name) in blamed]:
        raise _conflict_error(in_a_line(reason), found, conflict_advice(found)) from reason


def _conflict_error(reason: str, found: Sequence[Conflict], next_step: str) -> LibraryConflictError:
    shown = tuple(map(str, found))
    return LibraryConflictError(
        f"{reason} {'; '.join(shown)}.", distribution=_DISTRIBUTION, next_step=next_step, conflicts=shown
    )


def missing_package(error: Exception) -> PluginError:
    """Return the error for an optional package that is not installed, with the extra that installs it."""
    reason = in_a_line(error)
    extra = next((name for word, name in _EXTRAS.items() if word in reason.lower()), None)
    return PluginError(
        f"this model needs a package that is not installed: {reason}",
        distribution=_DISTRIBUTION,
        next_step=f"pip install 'pairchain-transformer[{extra}]'"
        if extra
        # a model's code or template may have written this message
        else "check what the package named in this message is before you install it.",
    )


def versions_tested() -> dict[str, str]:
    """Return the versions of other libraries that this plugin was tested with, by distribution."""
    lines = files("pairchain_transformer").joinpath("tested_versions.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def library_text(*path: str) -> str:
    """Read a source file of the transformers library without importing it; return "" if there is no such file."""
    spec = find_spec("transformers")
    for folder in () if spec is None else spec.submodule_search_locations or ():
        file = Path(folder, *path)
        return file.read_text(encoding="utf-8") if file.is_file() else ""
    return ""


def _peft_conflicts() -> list[Conflict]:
    """Return the conflicts between the versions of transformers and peft."""
    found = [one for one in conflicts("peft") if one.wanted.startswith("transformers")]
    # the library states the version in its code, not in its metadata
    said = _LEAST_PEFT.search(library_text("integrations", "peft.py"))
    wanted, installed = said[1] if said else "0", version("peft")
    if Version(installed) < Version(wanted):
        found.append(Conflict("transformers", version("transformers"), f"peft>={wanted}", installed))
    return found
