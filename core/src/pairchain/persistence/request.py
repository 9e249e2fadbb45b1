"""The request of a load: the model's files, and how its caller wants them loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pairchain.backends import DEFAULT
from pairchain.code.bundle import Code, check_amount
from pairchain.files.source import Source
from pairchain.format.saved_model import ModuleEntry
from pairchain.trust import policies
from pairchain.trust.checkpoint import trusts_checkpoint
from pairchain.trust.resolve import Resolver


@dataclass(frozen=True)
class LoadRequest:
    """A model to load, and how to load it.

    Attributes:
        source: The model's files.
        resolver: Decides which class a type means.
        model_kwargs: Passed on to the loader of weights, such as ``dtype``.
        processor_kwargs: Passed on to the loader of a tokenizer or processor.
        config_kwargs: Passed on to the loader of a model configuration.
        backend: The name of the backend that loads and runs a `Transformer`.
        tokenizer: Which tokenizer to use, ``"as-published"`` or ``"library"``; None for the module's default.
    """

    source: Source
    resolver: Resolver
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    processor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    config_kwargs: Mapping[str, Any] = field(default_factory=dict)
    backend: str = DEFAULT
    tokenizer: str | None = None

    def keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords with which to call a module's ``load`` for the folder ``path``."""
        return {
            **self.source.load_keywords(path),
            "trust_remote_code": trusts_checkpoint(self.source.within(path)),
            "model_kwargs": dict(self.model_kwargs),
            "processor_kwargs": dict(self.processor_kwargs),
            "config_kwargs": dict(self.config_kwargs),
            "backend": self.backend,
        }

    def resolve(self, type_name: str) -> type:
        """Return the class of a module type; see `Resolver.resolve`."""
        return self.resolver.resolve(type_name)

    def classes_of(self, entries: Sequence[ModuleEntry]) -> list[type]:
        """Return the class of each saved module.

        The file of a class may be in the module's folder, in the folder around that, or in the model's folder.

        Raises:
            TrustRequiredError: Some classes come with the model, and you did not allow them; it names all at once.
            UnknownTypeError, PluginError, ChainError: As for `Resolver.resolve`.
        """
        # the load checked the folders of its own modules; these may be folders inside one, such as a Router's
        self.source.refuse_links_out([entry.path for entry in entries])
        providers = []
        codes: dict[str, Code] = {}
        for entry in entries:
            beside = (self.source.within(entry.path), self.source, self.resolver.source)
            provider = self.resolver.provider(entry, beside)
            providers.append(provider)
            if provider is not None and (code := provider.code) is not None:
                purpose = f"the type {entry.type!r}"
                # in two module folders, one type may name different files
                codes[purpose if codes.get(purpose, code) == code else f"{purpose} in {entry.path}"] = code
                check_amount(codes.values(), self.source)
        policies.require_trust(codes)
        return [self.resolver.load(entry, provider) for entry, provider in zip(entries, providers, strict=True)]

    def within(self, source: Source) -> LoadRequest:
        """Return the same request for a folder inside the model, for a module that is made of modules."""
        return replace(self, source=source)
