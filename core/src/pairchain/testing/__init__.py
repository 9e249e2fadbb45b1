"""The author's kit: checks of a module, a backend, a command, a loss or hooks, to subclass in a test file.

Needs pytest, which `pip install 'pairchain-core[testing]'` brings.
"""

from pairchain.errors import MissingPackageError

try:
    import pytest as pytest
except ModuleNotFoundError as error:
    raise MissingPackageError(
        "pairchain.testing needs pytest, which is not installed.",
        next_step="pip install 'pairchain-core[testing]', or pip install pytest.",
    ) from error

from pairchain.testing.backend_contract import BackendContract as BackendContract
from pairchain.testing.command_contract import CommandContract as CommandContract
from pairchain.testing.hook_contract import HookContract as HookContract
from pairchain.testing.input_contract import InputModuleContract as InputModuleContract
from pairchain.testing.loss_contract import LossContract as LossContract
from pairchain.testing.module_contract import ModuleContract as ModuleContract

__all__ = [
    "BackendContract",
    "CommandContract",
    "HookContract",
    "InputModuleContract",
    "LossContract",
    "ModuleContract",
]
