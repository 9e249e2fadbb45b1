"""Installed plugins: the module classes, commands and backends that they register.

The functions are methods of ``default``, the registry of module types; ``commands`` and ``backends`` are others.
"""

from pairchain.registry.groups import BACKENDS, COMMANDS
from pairchain.registry.registry import Origin, Registry

default = Registry()
commands = Registry(COMMANDS, default.installation)
backends = Registry(BACKENDS, default.installation)

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
    "names",
    "refresh",
    "register",
]
