"""Exits with what does not fit among the installed libraries; `nox -s constraints` asks it."""

from __future__ import annotations

import sys

from pairchain.errors import PluginError
from pairchain.registry.conflicts import conflicts
from pairchain_transformer.libraries.packages import require_peft

found = [str(conflict) for name in ("pairchain-transformer", "pairchain-cli") for conflict in conflicts(name)]
try:
    require_peft("peft is tested")
except PluginError as error:
    found.append(error.what)
if found:
    sys.exit("\n".join([*found, "Hold one of them back: HELD_BACK in noxfile.py."]))
