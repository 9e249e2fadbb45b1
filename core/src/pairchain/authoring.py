"""Functions for authors of plugins: check settings and features, read and write files, refuse untrusted code.

``authoring.pyi`` lists every name, which loads on first use. Classes such as `Module` are in `pairchain`.
"""

from pairchain._lazy import lazy_names

__getattr__, __all__ = lazy_names(__name__, __file__, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
