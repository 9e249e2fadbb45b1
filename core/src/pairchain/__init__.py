"""Pairchain scores pairs with a chain of modules, and every module is a plugin.

Everything public is listed in ``__init__.pyi`` and loads on first use, so ``import pairchain`` is fast.
"""

from pairchain._lazy import lazy_names
from pairchain.version import __version__ as __version__

__getattr__, __all__ = lazy_names(__name__, __file__, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
