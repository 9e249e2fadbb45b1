"""Importing code that comes with a model: each bundle as a package of its own, from the bytes that were read.

Only a bundle that this process admitted can be imported. Files of one name in two models never clash: the package's
name is a digest of its content and origin.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, find_spec, resolve_name
from types import CodeType, ModuleType
from typing import Any

from pairchain import hooks
from pairchain.code.admitted import CODES, PACKAGE
from pairchain.code.bundle import Code, CodeFile
from pairchain.code.imports import around
from pairchain.code.patches import note_imports, watching
from pairchain.errors import FormatError
from pairchain.registry.discovery import find_module, is_installed
from pairchain.text.nearest import nearest

# Called after a model's code imports something that is installed.
after_import: list[Callable[[], None]] = [note_imports]


def load_class(code: Code, name: str) -> type:
    """Run ``code`` and return its class ``name``; the caller must have checked that the code may run."""
    package = admit(code)
    watching(code)
    try:
        module = importlib.import_module(f"{package}.{code.module}")
    except Exception as error:
        error.add_note(f"raised while importing {name} from {code}")
        raise
    cls = getattr(module, name, None)
    if not isinstance(cls, type):
        defined = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise FormatError(
            f"{code.entry.path} defines no class {name!r}{nearest(name, defined)}.", where=code.entry.shown_at
        )
    return cls


def admit(code: Code) -> str:
    """Let this process import ``code``, and return the name of its package."""
    origin = "" if code.source.is_local else code.approval
    key = "c" + hashlib.sha256(f"{origin} {code.is_elsewhere} {code.digest}".encode()).hexdigest()[:24]
    CODES.setdefault(key, code)
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    return f"{PACKAGE}.{key}"


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, *inside = fullname.split(".", 2)
        if package != PACKAGE:
            return None
        if inside and inside[0] not in CODES:
            raise ModuleNotFoundError(
                f"{fullname} is code that came with a model, and this process has not loaded such a model.",
                name=fullname,
            )
        if len(inside) < 2:
            return ModuleSpec(fullname, None, is_package=True)
        code, place = CODES[inside[0]], inside[1].replace(".", "/")
        files = {file.path: file for file in code.files}
        if (file := files.get(f"{place}.py") or files.get(f"{place}/__init__.py")) is None:
            is_folder = any(path.startswith(f"{place}/") for path in files)
            return ModuleSpec(fullname, None, is_package=True) if is_folder else None
        is_package = file.path != f"{place}.py"
        spec = ModuleSpec(fullname, _Loader(code, file), origin=file.location, is_package=is_package)
        spec.has_location = True
        return spec


@dataclass
class _Loader(InspectLoader):
    """Runs a file's bytes as they were read, even if the file changed since."""

    code: Code
    file: CodeFile

    def get_source(self, fullname: str) -> str:
        return decode_source(self.file.content)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.file.content, self.file.location, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        # functions keep the builtins of their module, so imports inside them use the same importer
        importer = _Importer(self.code, ".".join(module.__name__.split(".")[:2]))
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": importer}
        super().exec_module(module)


class _Importer:
    """The import statement of a model's code.

    It looks first among installed packages; then beside the file that defines the class and in the folders around it,
    as for a script; then on the rest of the path; and last asks plugins for a substitute, which only this code sees.
    """

    def __init__(self, code: Code, package: str) -> None:
        self._paths = [file.path for file in code.files]
        self._places = around(code.entry.path)
        self._package = package

    def __call__(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] | None = (), level: int = 0
    ) -> ModuleType:
        if level:
            asked = "." * level + name
            full = resolve_name(asked, globals["__package__"])
            if not f"{full}.".startswith(f"{self._package}."):
                raise ImportError(f"the import of {asked!r} leaves the folder of the code", name=full)
            return _import_own(full, asked, fromlist or ())
        top = name.partition(".")[0]
        home = self._home_of(top)
        if home is not None and not is_installed(top):
            found = _import_own(f"{home}.{name}", name, fromlist or ())
            return found if fromlist else sys.modules[f"{home}.{top}"]
        if top in sys.modules or find_module(top) is not None:
            found = builtins.__import__(name, globals, locals, fromlist or ())
            for tell in after_import:
                tell()
            return found
        offered: ModuleType | None = hooks.ask_one("pairchain_offer_import", ModuleType, name=name)
        if offered is None:
            raise ModuleNotFoundError(f"No module named {name!r}{hooks.left_out()}", name=name)
        if fromlist:
            _check_offers(offered, name, fromlist)
            return offered
        whole: ModuleType = hooks.ask_one("pairchain_offer_import", ModuleType, name=top)
        return whole

    def _home_of(self, top: str) -> str | None:
        """Return the package that holds the module ``top`` of the code, or None if none does."""
        for place in self._places:
            file, folder = str(place / f"{top}.py"), f"{place / top}/"
            if any(path == file or path.startswith(folder) for path in self._paths):
                return ".".join([self._package, *place.parts])
        return None


def _import_own(full: str, asked: str, names: Sequence[str]) -> ModuleType:
    """Import the code's module ``full``, which the code calls ``asked``, and the submodules among ``names``."""
    try:
        found = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{full}.".startswith(f"{error.name}."):
            raise ModuleNotFoundError(f"No module named {asked!r} beside the code that imports it", name=full) from None
        raise
    for name in getattr(found, "__all__", ()) if "*" in names else names:
        if not hasattr(found, name) and hasattr(found, "__path__") and find_spec(f"{full}.{name}") is not None:
            importlib.import_module(f"{full}.{name}")
    _check_offers(found, asked, names)
    return found


def _check_offers(module: ModuleType, asked: str, names: Sequence[str]) -> None:
    """Raise unless ``module`` has all of ``names``; the import statement's own error would not say why."""
    for name in names:
        try:
            # modules that import each other exist before their packages have them as attributes
            if name != "*" and f"{module.__name__}.{name}" not in sys.modules:
                getattr(module, name)
        except AttributeError as error:
            reason = f"{asked!r} has no such name" if module.__name__.startswith(PACKAGE) else str(error)
            raise ImportError(f"cannot import name {name!r}: {reason}", name=module.__name__) from error


_FINDER = _Finder()
