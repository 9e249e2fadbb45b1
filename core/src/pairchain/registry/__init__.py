"""Installed plugins: the module classes, commands, backends and losses that they register.

The functions are methods of ``default``, the registry of module types; ``commands``, ``backends`` and ``losses`` are
others.
"""

from pairchain.registry.groups import BACKENDS, COMMANDS, LOSSES
from pairchain.registry.registry import Origin, Registry

default = Registry()
commands = Registry(COMMANDS, default.installation)
backends = Registry(BACKENDS, default.installation)
losses = Registry(LOSSES, default.installation)

find = default.find
load = default.load
names = default.names
refresh = default.refresh
register = default.register

__all__ = [
    "Origin",
    "Registry",
    "backends",
    "commands",
    "default",
    "find",
    "load",
    "losses",
    "names",
    "refresh",
    "register",
]
