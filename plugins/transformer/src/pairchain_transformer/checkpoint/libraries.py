"""The optional libraries that the transformers library works with, in versions that fit it."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pairchain.authoring import Conflict, conflict_advice, conflicts, installed_version
from pairchain.errors import LibraryConflictError, PluginError

_DISTRIBUTION = "pairchain-transformer"
# What a missing package says of itself, and the extra of this distribution that brings it.
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
    """Check that peft is installed, in a version that the installed transformers library takes.

    Args:
        reason: Why it is needed, a sentence.

    Raises:
        PluginError: It is not installed.
        LibraryConflictError: The two do not fit each other.
    """
    if installed_version("peft") is None:
        raise PluginError(reason, distribution=_DISTRIBUTION, next_step="pip install 'pairchain-transformer[peft]'")
    if found := _peft_conflicts():
        together = " ".join(f"{name}=={versions_tested()[name]}" for name in ("transformers", "peft"))
        raise LibraryConflictError(
            f"{reason.rstrip('.')}, and {'; '.join(map(str, found))}.",
            distribution=_DISTRIBUTION,
            next_step=f"{conflict_advice(found)}; or install the versions tested together: pip install {together}",
            conflicts=tuple(map(str, found)),
        )


def refuse_conflicts(reason: Exception) -> None:
    """Raise the conflict between installed libraries that a failure comes from, if it names one of them.

    Raises:
        LibraryConflictError: It does.
    """
    blamed = str(reason).lower().replace("_", "-")
    if found := [one for one in conflicts(_DISTRIBUTION) if canonicalize_name(Requirement(one.wanted).name) in blamed]:
        raise LibraryConflictError(
            f"{_in_a_line(reason)} {'; '.join(map(str, found))}.",
            distribution=_DISTRIBUTION,
            next_step=conflict_advice(found),
            conflicts=tuple(map(str, found)),
        ) from reason


def missing_part(error: Exception) -> PluginError:
    """Return the error for an optional package that is not installed, with the extra that brings it."""
    reason = _in_a_line(error)
    extra = next((name for word, name in _EXTRAS.items() if word in reason.lower()), None)
    return PluginError(
        f"this model needs a package that is not installed: {reason}",
        distribution=_DISTRIBUTION,
        next_step=f"pip install 'pairchain-transformer[{extra}]'"
        if extra
        # a model's code or template may have written it
        else "look at the package that this names before you install it.",
    )


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def versions_tested() -> dict[str, str]:
    """Return the versions of other libraries with which this version of the plugin was tested, by distribution."""
    lines = files(__package__).joinpath("tested_versions.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _peft_conflicts() -> list[Conflict]:
    """Return where transformers and peft do not fit: what each says it needs of the other."""
    found = [one for one in conflicts("peft") if one.wanted.startswith("transformers")]
    wanted, installed = _least_peft(), version("peft")
    if Version(installed) < Version(wanted):
        found.append(Conflict("transformers", version("transformers"), f"peft>={wanted}", installed))
    return found


def _least_peft() -> str:
    """Return the oldest version of peft that transformers takes: it says so in its code, not in its metadata."""
    # read, not imported: inspecting a model imports no library
    spec = find_spec("transformers")
    for folder in () if spec is None else spec.submodule_search_locations or ():
        file = Path(folder, "integrations", "peft.py")
        if file.exists() and (said := _LEAST_PEFT.search(file.read_text(encoding="utf-8"))):
            return said[1]
    return "0"
