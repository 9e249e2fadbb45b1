"""The refusal of weights that are a pickle: a load raises it, and inspection foresees it."""

from __future__ import annotations

from pairchain.errors import PickleRefusedError
from pairchain.files.source import Source
from pairchain.trust import policies


def refuse_pickle(source: Source, path: str) -> None:
    """Raise unless the load in progress allows weights from a pickle.

    Raises:
        PickleRefusedError: It does not.
    """
    if not policies.current_policy().allow_pickle:
        raise pickle_refused(source, path)


def pickle_refused(source: Source, path: str) -> PickleRefusedError:
    """Return the error that refuses the pickled weights at ``path`` and says how to allow them."""
    return PickleRefusedError(
        f"the weights are a pickle, {source.path_of(path)}, and reading a pickle can run code.",
        where=str(source),
        next_step="ask for safetensors, or pass allow_pickle=True to read it through torch's restricted loader.",
    )
