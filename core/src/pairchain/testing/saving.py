"""Checks of saving and loading a module: its configuration, weights and type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pairchain import registry
from pairchain.persistence.saved_type import type_of
from pairchain.registry.structure import import_path
from pairchain.testing.author import Author
from pairchain.testing.features import ROUNDING, difference
from pairchain.testing.fresh_process import listed_plugins
from pairchain.testing.subject import reloaded, what_is_lost
from pairchain.testing.words import broken, explaining, listed


class SavingChecks(Author):
    """Checks of a module's save, load and type; see `ModuleContract`."""

    def test_its_configuration_is_json(self) -> None:
        """`get_config_dict` returns values that JSON preserves."""
        module = self._module()
        name, get_config = type(module).__name__, getattr(module, "get_config_dict", dict)
        with explaining(
            f"{name}.get_config_dict raised an error",
            expected="config_keys names attributes of the module.",
            next_step="set each of them in __init__.",
        ):
            config: Mapping[str, Any] = get_config()
        for key, value in config.items():
            if reason := _why_not_json(value):
                broken(
                    f"the configuration of {name} holds {key!r}: {value!r}, which JSON cannot represent: {reason}.",
                    expected="the configuration is saved as JSON and must come back unchanged.",
                    next_step="keep numbers, texts, lists, or dicts with texts as keys, and derive the rest in "
                    "__init__; store tensors as parameters or buffers.",
                )

    def test_a_saved_one_computes_the_same(self) -> None:
        """After saving and loading, as safetensors and as a pickle, it gives equal features."""
        subject = self._subject()
        expected = subject.run(subject.features)
        for safe_serialization in (True, False):
            with reloaded(subject.module, safe_serialization=safe_serialization) as again:
                if type(again) is not type(subject.module):
                    broken(
                        f"{subject.name}.load returned a {type(again).__name__}.",
                        expected="load returns an instance of the class that it is called on.",
                        next_step="make it a classmethod that returns cls(…).",
                    )
                after = replace(subject, module=again).run(subject.features)
            lost = what_is_lost(subject.module, again)
            for name in sorted(subject.written):
                if found := difference(after.get(name), expected[name], ROUNDING):
                    broken(
                        f"{subject.name} wrote {name!r} differently after it was saved and loaded: {found}"
                        f"{f'; {lost}' if lost else ''}.",
                        expected="a loaded model scores like the saved one.",
                        next_step="a setting: name it in config_keys. Weights: set saves_weights = True, and call "
                        "self.save_torch_weights(output_path, safe_serialization=safe_serialization) in save.",
                    )
            if lost:
                broken(
                    f"{subject.name} lost something when it was saved and loaded: {lost}.",
                    expected="a loaded module has the weights and settings of the saved one.",
                    next_step="name settings in config_keys. Start the names of other attributes with an underscore.",
                )

    def test_it_is_saved_under_the_type_that_its_plugin_registers(self) -> None:
        """An entry point of an installed plugin leads from its type to its class."""
        if not self.is_plugin:
            return
        cls = type(self._made())
        name = type_of(cls)
        found = registry.default.lookup(name)
        if found is None:
            broken(
                f"{cls.__name__} is saved under the type {name!r}, which no installed plugin registers.",
                expected="a saved model names a type, which an entry point in pairchain.modules registers.",
                next_step=f'write "{cls.__module__.partition(".")[0]}.{cls.__name__}" = '
                f'"{cls.__module__}:{cls.__qualname__}" under [project.entry-points."pairchain.modules"] in '
                "pyproject.toml, and `pip install -e .` again. If the class is saved beside models, set "
                "is_plugin = False.",
            )
        with explaining(
            f"the type {name!r} could not be loaded",
            expected="the entry point leads to the class.",
            next_step="correct the entry point, and `pip install -e .` again.",
        ):
            loaded = registry.load(name)
        if loaded is not cls:
            broken(
                f"the type {name!r} is {import_path(loaded)}, not {import_path(cls)}.",
                expected="a saved module loads as its own class.",
                next_step=f"let the entry point of {found.distribution} lead to this class, or give the class another "
                "module_type.",
            )

    def test_listing_plugins_does_not_import_it(self, tmp_path: Path) -> None:
        """A fresh process finds its type without importing it or torch."""
        if not self.is_plugin:
            return
        cls = type(self._made())
        listing = listed_plugins(tmp_path)
        if imported := {cls.__module__.partition(".")[0], "torch"} & set(listing["imported"]):
            broken(
                f"listing the installed plugins imported {listed(imported)}.",
                expected="a listing reads metadata only; a plugin is imported when its type is used.",
                next_step="look for a .pth file or a sitecustomize that imports it in every process.",
            )
        if type_of(cls) not in listing["names"]:
            broken(
                f"a fresh process does not find the type {type_of(cls)!r}.",
                expected="every process finds an installed plugin.",
                next_step="install it with `pip install -e .`; a path that a test adds is not enough.",
            )


def _why_not_json(value: Any) -> str:
    """Return why JSON would not preserve a value; an empty string if it would."""
    try:
        again = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        return str(error)
    return "" if _is_kept(value, again) else f"it would come back as {again!r}"


def _is_kept(value: Any, again: Any) -> bool:
    # JSON has no tuples; a module that saves one accepts a list
    if isinstance(value, (list, tuple)):
        return len(value) == len(again) and all(map(_is_kept, value, again))
    if isinstance(value, Mapping):
        return list(value) == list(again) and all(_is_kept(value[key], again[key]) for key in value)
    return bool(value == again)
