"""ModuleContract: checks of any module, as tests that an author inherits."""

from __future__ import annotations

from pairchain.testing.calling import CallingChecks
from pairchain.testing.computing import ComputingChecks
from pairchain.testing.moves import MovingChecks
from pairchain.testing.saving import SavingChecks


class ModuleContract(ComputingChecks, MovingChecks, SavingChecks, CallingChecks):
    """Checks of a module that is not the first in its chain; subclass it in a test file, and write `make_module`.

    .. code-block:: python

        class TestTemperature(ModuleContract):
            def make_module(self):
                return Temperature(2.0)

    Create the module with other arguments than the defaults, so that a setting it forgets to save is found. The checks
    derive everything else from what the class declares; if that is not enough, write `make_features` or `make_chain`.

    Attributes:
        is_plugin: Whether an installed plugin provides the class; False for one that is saved beside models.
        keywords: Values to try for keyword arguments of ``predict`` that the module takes, by name; the others are
            tried with the default that its signature gives them.
        pairs: The pairs that the chain of `make_chain` scores: at least two, of different lengths.
        tolerance: The largest difference between equal numbers, as a share of the largest number: rounding depends on
            the batch size.
        half_tolerance: The same for bfloat16 and float16 compared with float32.
        dtypes: The dtypes to move the module to; leave out those in which it cannot compute.
        python: The command line that starts a Python with the plugin installed, for checks in a fresh process.
    """
