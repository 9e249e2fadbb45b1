"""ModuleContract: what a chain expects of every module, as tests that an author inherits."""

from __future__ import annotations

from pairchain.testing.calling import CallingChecks
from pairchain.testing.computing import ComputingChecks
from pairchain.testing.moves import MovingChecks
from pairchain.testing.saving import SavingChecks


class ModuleContract(ComputingChecks, MovingChecks, SavingChecks, CallingChecks):
    """Checks of a module that is not the first of its chain; subclass it in a test file, and write `make_module`.

    .. code-block:: python

        class TestTemperature(ModuleContract):
            def make_module(self):
                return Temperature(2.0)

    Make the module with arguments that are not the defaults: one that forgets to save them then shows it. All else is
    found out from what the class declares; where that is not enough, write `make_features` or `make_chain`.

    Attributes:
        is_plugin: Whether an installed plugin provides the class; False for one that is saved beside models.
        keywords: Values to try for keyword arguments of ``predict`` that the module takes, by name; the others are
            tried with the default that its signature gives them.
        pairs: What the chain that `make_chain` returns is tried on; at least two, of different lengths.
        tolerance: How far numbers may be apart that should be equal, as a share of the largest: rounding differs with
            the size of a batch.
        half_tolerance: The same for bfloat16 and float16 beside float32.
        dtypes: What the module is moved to; leave out what it cannot compute in.
        python: The command line that starts a Python with the plugin installed, for checks in a fresh process.
    """
