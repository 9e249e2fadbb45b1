"""The entries of ``model_kwargs`` that choose a graph, and those that a runtime takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pairchain.authoring import nearest
from pairchain.errors import InputError

# Asks for the file with int8 weights that suits this processor best.
INT8 = "int8"

_DTYPES = ("dtype", "torch_dtype")
# Arguments of the library's loading that have no meaning for a graph; a model's file may set them.
_WITHOUT_MEANING = ("add_pooling_layer", "low_cpu_mem_usage")


@dataclass(frozen=True)
class Settings:
    """What the caller's ``model_kwargs`` ask for.

    Attributes:
        file_name: The file, relative to the model's folder or to the runtime's folder in it; `INT8` for the best with
            int8 weights; None for the plain one.
        subfolder: A folder of the model to look in; empty for the model's own.
        export: True to export even if there is a file, False never to, None to export if there is none.
        runtime: The entries for the runtime itself.
    """

    file_name: str | None = None
    subfolder: str = ""
    export: bool | None = None
    runtime: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model_kwargs: Mapping[str, Any], backend: str, runtime: Collection[str]) -> Settings:
        """Return the settings in ``model_kwargs``.

        Args:
            model_kwargs: The caller's.
            backend: The backend's name.
            runtime: The names of the entries that its runtime takes.

        Raises:
            InputError: An entry is unknown or invalid.
        """
        given = {name: value for name, value in model_kwargs.items() if name not in _WITHOUT_MEANING}
        for name in _DTYPES:
            _check_dtype(name, given.pop(name, None), backend)
        known = ("file_name", "subfolder", "export", *runtime)
        for name in given:
            if name not in known:
                raise InputError(
                    f"{backend} takes no model_kwargs {name!r}{nearest(name, known)}, but {', '.join(known)}.",
                    argument="model_kwargs",
                )
        file_name, subfolder = given.pop("file_name", None), given.pop("subfolder", None) or ""
        export = given.pop("export", None)
        for name, value, kinds in (
            ("file_name", file_name, (str, type(None))),
            ("subfolder", subfolder, (str,)),
            ("export", export, (bool, type(None))),
        ):
            if not isinstance(value, kinds):
                raise InputError(
                    f"model_kwargs: {name!r} is {value!r}, not {_ARTICLES[name]}.", argument="model_kwargs"
                )
        if export and file_name:
            # sentence-transformers ignores the name, and would run another file than the one that was asked for
            raise InputError(
                f"model_kwargs ask to export the model, and for the file {file_name!r}.",
                next_step="leave one of the two out.",
                argument="model_kwargs",
            )
        return cls(file_name, subfolder, export, given)


_ARTICLES = {"file_name": "a string", "subfolder": "a string", "export": "True, False or None"}


def _check_dtype(name: str, value: Any, backend: str) -> None:
    if value is None or str(value).rpartition(".")[2] in ("auto", "float32"):
        return
    raise InputError(
        f"{backend} cannot load a model as {value}, because a graph has the types that it was exported with; choose a "
        f"file by file_name, and pass model_kwargs={{{name!r}: None}}.",
        argument="model_kwargs",
    )
