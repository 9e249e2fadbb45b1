"""Router: contains several chains, its routes, and sends each input through one of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self, cast

from torch import nn

from pairchain import Encoded, InputModule, LoadRequest
from pairchain.authoring import (
    MESSAGE,
    TEXT,
    Flow,
    Modality,
    Resolver,
    accepted_names,
    check_supported,
    declares_safety,
    flow_of,
    forward_through,
    is_watched,
    keyword_names,
    labels_of,
    labels_of_routes,
    load_module,
    may_run_at_once,
    missing_methods,
    modality_of_pair,
    modality_parts,
    module_label,
    modules_inside,
    not_encoded,
    open_source,
    parameters_inside,
    placing_errors,
    plain_texts,
    preprocess_with,
    saved_type,
    says_what_it_reads,
    step,
    tree_of,
    write_json,
)
from pairchain.errors import ChainError, FormatError, InputError
from pairchain_router.encoding import Route
from pairchain_router.routes import Mappings, Routes, check_routes, mappings_to_json, modality_in_words
from pairchain_router.saved import read_router


def _of_default_route(name: str) -> property:
    def value_of(router: Router) -> Any:
        return getattr(router.sub_modules[router.routes.default or router.routes.names[0]][0], name, None)

    return property(value_of, doc=f"The {name} of the default route, or None if it has none.")


class Router(InputModule):
    """Sends each input through a route: by task, by modality, or by both.

    As the first module of a chain, it chooses a route for each pair; later in a chain, it chooses one for the batch, by
    ``task`` or by the feature ``modality``. A module that is part of several routes is saved and loaded once. Format:
    sentence-transformers ``base.modules.Router``.

    Every Router of a model receives the task, even a Router inside another one's route. If only another Router knows
    the task, the modality or the default decides. A task that no Router knows raises an error.

    Args:
        sub_modules: The modules of each route, by the route's name.
        default_route: The route of inputs that no rule matches.
        allow_empty_key: Whether the first route is the default if ``default_route`` is None.
        route_mappings: Maps ``(task, modality)`` to a route. None matches anything, and a tuple of modalities matches
            inputs that contain all of them.

    Raises:
        InputError: ``sub_modules`` is empty, or a rule leads to an unknown route.
        ChainError: A route is empty, or one of its elements is not a module.
    """

    # an nn.ModuleDict with an nn.Sequential for each route; torch types the values as plain modules
    sub_modules: Any
    tasks: frozenset[str]
    config_file_name = "router_config.json"
    module_type = "sentence_transformers.base.modules.router.Router"
    is_thread_safe = True

    def __init__(
        self,
        sub_modules: Mapping[str, Sequence[nn.Module]],
        default_route: str | None = None,
        allow_empty_key: bool = True,
        route_mappings: Mapping[Any, str] | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(sub_modules, "items"):
            raise InputError(
                f"sub_modules is {sub_modules!r}.", next_step='pass a dict such as {"query": [module, …]}.'
            )
        self.routes: Routes = check_routes(list(sub_modules), default_route, allow_empty_key, route_mappings)
        self.sub_modules = nn.ModuleDict({name: _route(name, modules) for name, modules in sub_modules.items()})
        self.allow_empty_key = allow_empty_key
        self.extra_parameters: Mapping[str, Any] = {}
        _share_tasks(self)

    @classmethod
    def for_query_document(
        cls,
        query_modules: Sequence[nn.Module],
        document_modules: Sequence[nn.Module],
        default_route: str | None = "document",
        allow_empty_key: bool = True,
    ) -> Self:
        """Return a Router with a route for the task ``query`` and a route for the task ``document``."""
        return cls({"query": query_modules, "document": document_modules}, default_route, allow_empty_key)

    @property
    def default_route(self) -> str | None:
        """The route of inputs that no rule matches."""
        return self.routes.default

    @property
    def route_mappings(self) -> Mappings:
        """The rules from ``(task, modality)`` to a route."""
        return self.routes.mappings

    @property
    def modalities(self) -> list[Modality]:  # type: ignore[override]
        """The modalities that any route takes."""
        return sorted({modality for name in self.routes.names for modality in self._taken_by(name)}, key=str)

    def batch_key(
        self, item: Any, task: str | None = None, modality: Modality | None = None, **kwargs: Any
    ) -> Hashable:
        """Return an input's route and its key inside the route; inputs with equal keys are preprocessed together."""
        route = self._route_of(item, task, modality)
        inner = getattr(self.sub_modules[route][0], "batch_key", None)
        return route, None if inner is None else inner(item, **_given(kwargs, task, modality))

    def preprocess(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        task: str | None = None,
        modality: Modality | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the features of the inputs, made by their route.

        Raises:
            InputError: No route fits the inputs, or they take different routes.
        """
        routes = dict.fromkeys(self._route_of(item, task, modality) for item in inputs)
        if len(routes) != 1:
            raise InputError(
                f"these {len(inputs)} inputs take the routes {', '.join(routes)}.",
                next_step="preprocess the inputs of each route apart, as predict does.",
            )
        (route,) = routes
        taken = self._taken_by(route)
        check_supported(inputs, taken)
        texts = plain_texts(inputs, taken)
        features = preprocess_with(self.sub_modules[route][0], texts, prompt, _given(kwargs, task, modality))
        return _marked(features, route, task)

    def encode(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        task: str | None = None,
        modality: Modality | None = None,
        read_after: frozenset[str] | None = None,
        **kwargs: Any,
    ) -> list[Encoded] | None:
        """Return each input encoded by its route; None if none of the routes can encode. Batches do not mix routes.

        Args:
            inputs, prompt, task, modality, **kwargs: As for `preprocess`, but the inputs may take different routes.
            read_after: The features that are read after this Router; None if any may be.

        Raises:
            InputError: No route fits an input, or its route refuses it; the error has its index in ``inputs``.
        """
        if type(self).preprocess is not Router.preprocess or type(self).batch_key is not Router.batch_key:
            return None
        keywords = _given(kwargs, task, modality)
        items = not_encoded(self, inputs, keywords)
        places_of: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            name, _ = cast(tuple[str, Hashable], item.key)
            places_of.setdefault(name, []).append(place)
        is_any_encoded = False
        for name, places in places_of.items():
            taken = self._taken_by(name)
            texts = plain_texts([items[place].values for place in places], taken)
            own = [replace(items[place], values=text) for place, text in zip(places, texts, strict=True)]
            with placing_errors(places), step("route", name):
                check_supported(texts, taken)
                encoded, are_encoded = Route(name, self._modules_of(name), prompt, keywords).encode(own, read_after)
            is_any_encoded |= are_encoded
            for place, item in zip(places, encoded, strict=True):
                items[place] = item
        return items if is_any_encoded else None

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        """Return the features of encoded inputs of one route."""
        route: Route = items[0].values[0]
        features = route.collate([item.values[1] for item in items], are_encoded=items[0].values[2])
        return _marked(features, route.name, route.keywords.get("task"))

    def forward(
        self,
        features: dict[str, Any],
        task: str | None = None,
        modality: Modality | None = None,
        read_after: frozenset[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return ``features`` after the modules of their route.

        Args:
            features: The features that `preprocess`, or the modules before this one, returned.
            task, modality: They choose the route, unless `preprocess` has already chosen it.
            read_after: The features that are read after this Router; None if any may be. A module of the route may
                skip features that no later module reads.
            **kwargs: Keyword arguments for the modules of the route.
        """
        chosen = features.pop("routes", ())
        if chosen:
            route, further = chosen[0], chosen[1:]
            if further:
                features["routes"] = further
        else:
            self.routes.check_modality(modality)
            task_here, modality_here = task or features.get("task"), modality or features.get("modality")
            route = self.routes.find(task_here, modality_here, self.tasks)
        modules = self._modules_of(route)
        # keywords that only the Router's entry in modules.json names go to every module that accepts them
        more_names = accepted_names(modules, kwargs.keys() - self.keyword_names()) if kwargs else {}
        with step("route", route):
            return forward_through(modules, features, _given(kwargs, task, modality), more_names, read_after)

    @property
    def may_read_more(self) -> bool:
        """Whether a subclass's ``forward`` or a hook may read more features than the modules inside do."""
        return type(self).forward is not _FORWARD or is_watched(self)

    @property
    def may_run_at_once(self) -> bool:
        """Whether several threads may run it on batches of one call; all modules inside must allow it too."""
        inside = dict.fromkeys(module for route in self._chains() for module in route)
        return declares_safety(self, [self]) and all(map(may_run_at_once, inside))

    @property
    def forward_kwargs(self) -> set[str]:  # type: ignore[override]
        """Keyword arguments of ``predict`` that it or a module inside takes."""
        return self.keyword_names()

    def keyword_names(self) -> set[str]:
        """Return every keyword argument that it or a module inside takes, in ``preprocess`` or ``forward``."""
        return {"task", "modality"}.union(*(keyword_names(self._modules_of(name)) for name in self.routes.names))

    @property
    def writes(self) -> frozenset[str] | None:  # type: ignore[override]
        """Features that every route adds; None if a module inside does not declare its own."""
        written = [flow.writes for flow in self._flows()]
        known = [names for names in written if names is not None]
        return frozenset.intersection(*known) if len(known) == len(written) else None

    @property
    def reads(self) -> frozenset[str] | None:  # type: ignore[override]
        """Features that its routes need from the modules before it; None if a module inside declares none."""
        if not all(says_what_it_reads(module) for route in self._chains() for module in route[1:]):
            return None
        return frozenset().union(*(flow.reads for flow in self._flows()))

    @property
    def num_labels(self) -> int | None:  # type: ignore[override]
        """Scores per pair; None if a route does not declare the number.

        Raises:
            ChainError: The routes declare different numbers.
        """
        return labels_of_routes({name: labels_of(self._modules_of(name)) for name in self.routes.names})

    @property
    def max_seq_length(self) -> int | None:
        """The longest input in tokens that any route takes; setting it sets it for all routes."""
        found = (getattr(route[0], "max_seq_length", None) for route in self._chains())
        return max((length for length in found if length is not None), default=None)

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        limited = [route[0] for route in self._chains() if getattr(route[0], "max_seq_length", None) is not None]
        if not limited:
            raise InputError("no route of this Router limits the length of its inputs.")
        before = [module.max_seq_length for module in limited]
        try:
            for module in limited:
                module.max_seq_length = value
        except InputError:  # one route cannot read inputs of that length
            for module, length in zip(limited, before, strict=True):
                module.max_seq_length = length
            raise

    @property
    def prefix_cache(self) -> int:
        """Bytes in which each route keeps results on the beginnings of inputs; setting it sets it for all routes."""
        return max((getattr(route[0], "prefix_cache", 0) for route in self._chains()), default=0)

    @prefix_cache.setter
    def prefix_cache(self, value: int) -> None:
        for module in dict.fromkeys(route[0] for route in self._chains()):
            if hasattr(module, "prefix_cache"):
                module.prefix_cache = value

    model = _of_default_route("model")
    tokenizer = _of_default_route("tokenizer")
    processor = _of_default_route("processor")
    config = _of_default_route("config")

    def on_model_ready(self, model: nn.Module) -> None:
        """Tell the Routers of ``model`` each other's tasks, and call ``on_model_ready`` of each module inside."""
        _share_tasks(model)
        for module in dict.fromkeys(module for route in self._chains() for module in route):
            ready: Any = getattr(module, "on_model_ready", None)
            if ready is not None:
                ready(model)

    def get_config_dict(self) -> dict[str, Any]:
        """Return the rules as ``parameters`` of ``router_config.json``."""
        return {
            **self.extra_parameters,
            "default_route": self.routes.default,
            "allow_empty_key": self.allow_empty_key,
            "route_mappings": mappings_to_json(self.routes.mappings),
        }

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the rules, and each module once, into a folder named after the first route that contains it."""
        ids: dict[nn.Module, str] = {}
        structure: dict[str, list[str]] = {}
        for name in self.routes.names:
            for index, module in enumerate(self.sub_modules[name]):
                ids.setdefault(module, f"{name}_{index}_{type(module).__name__}")
                structure.setdefault(name, []).append(ids[module])
        origins = {id_: saved_type(type(module)) for module, id_ in ids.items()}
        for module, id_ in ids.items():
            folder = Path(output_path) / id_
            folder.mkdir(parents=True, exist_ok=True)
            module.save(str(folder), safe_serialization=safe_serialization)  # type: ignore[operator]
        config = {
            **self.extra_config,
            "types": {id_: saved.type for id_, saved in origins.items()},
            "structure": structure,
            "parameters": self.get_config_dict(),
            "distributions": {id_: recorded for id_, saved in origins.items() if (recorded := saved.recorded)},
        }
        write_json(Path(output_path) / self.config_file_name, config, indent=4)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        request: LoadRequest | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return the Router saved in a folder; arguments as for `Module.load`.

        Args:
            request: The load that this is part of; it resolves the types of the modules inside.

        Raises:
            FormatError: The configuration is damaged.
        """
        source = open_source(model_name_or_path, subfolder, token, cache_folder, revision, local_files_only)
        # a caller that does not know requests passes the arguments of one
        if request is None:
            names = {field.name for field in fields(LoadRequest)} & kwargs.keys()
            request = LoadRequest(source, Resolver(source), **{name: kwargs[name] for name in names})
        inside = request.within(source)
        saved = read_router(source)
        # loading a module may take minutes, so resolve every class first
        classes = inside.classes_of(saved.entries)
        modules = {
            entry.path: load_module(module_class, inside, entry.path, saved=entry)
            for entry, module_class in zip(saved.entries, classes, strict=True)
        }
        routes = {route: [modules[folder] for folder in folders] for route, folders in saved.structure.items()}
        try:
            router = cls(routes, **saved.parameters)
        except (InputError, ChainError) as error:
            raise FormatError(f"{saved.shown_as}: {error.what}", next_step=error.next_step) from error
        router.extra_config, router.extra_parameters = saved.extra, saved.extra_parameters
        return router

    def __repr__(self) -> str:
        return tree_of(self)

    def extra_repr(self) -> str:
        """Return the default route and the rules, for printing."""
        rules = {"default_route": self.routes.default, "route_mappings": self.routes.mappings}
        return ", ".join(f"{name}={value!r}" for name, value in rules.items() if value)

    def _route_of(self, item: Any, task: str | None, modality: Modality | None) -> str:
        self.routes.check_modality(modality)
        found = modality_of_pair(item, self.modalities) if modality is None else modality
        route = self.routes.find(task, found, self.tasks)
        listed = self._taken_by(route)
        taken = {part for modality in listed for part in modality_parts(modality)} | {TEXT}
        found = modality_of_pair(item, listed)
        if found != TEXT and not {*modality_parts(found), MESSAGE} <= taken:
            lacks = " but has no chat template to tell the sides apart" if set(modality_parts(found)) <= taken else ""
            raise InputError(
                f"an input of {modality_in_words(found)} goes to the route {route!r}, which takes "
                f"{', '.join(map(modality_in_words, listed))}{lacks}.",
                next_step=f"send it to another route with a rule: route_mappings={{(None, {found!r}): …}}.",
            )
        return route

    def _taken_by(self, route: str) -> Sequence[Modality]:
        modalities: Sequence[Modality] = getattr(self.sub_modules[route][0], "modalities", [TEXT])
        return modalities

    def _modules_of(self, route: str) -> Mapping[str, Any]:
        # named_children would skip the second occurrence of a module
        modules: Mapping[str, Any] = self.sub_modules[route]._modules
        return modules

    def _chains(self) -> list[Any]:
        return list(self.sub_modules.values())

    def _flows(self) -> list[Flow]:
        return [flow_of(self._modules_of(name)) for name in self.routes.names]


# the original method, in case the class is patched
_FORWARD = Router.forward


def _share_tasks(model: nn.Module) -> None:
    """Tell every Router in ``model`` the tasks of all of them."""
    routers = [module for module in modules_inside(model) if isinstance(module, Router)]
    tasks = frozenset().union(*(router.routes.tasks for router in routers))
    for router in routers:
        router.tasks = tasks


def _route(name: str, modules: Any) -> nn.Sequential:
    """Return the modules of one route; as in a chain, all of them get the dtype of the first one."""
    if hasattr(nn.ModuleDict(), name):
        raise InputError(
            f"a route is named {name!r}.", next_step="choose a name that is not an attribute of torch's ModuleDict."
        )
    if not isinstance(modules, Iterable) or not (modules := list(modules)):
        raise ChainError(f"the route {name!r} is not a list of modules.", next_step="pass a list with at least one.")
    for index, module in enumerate(modules):
        if absent := [method for method in missing_methods(type(module)) if method != "load"]:
            raise ChainError(
                f"the route {name!r}: {module_label(str(index), module)} is not a module: it lacks {', '.join(absent)}."
            )
    first = next(parameters_inside(modules[0]), None)
    if first is not None and first.is_floating_point():
        for module in modules[1:]:
            module.to(dtype=first.dtype)
    return nn.Sequential(*modules)


def _marked(features: dict[str, Any], route: str, task: str | None) -> dict[str, Any]:
    """Add ``routes`` and ``task`` to ``features``."""
    # a Router inside the route has already added its own choice
    features["routes"] = (route, *features.get("routes", ()))
    if task is not None:
        features["task"] = task
    return features


def _given(keywords: Mapping[str, Any], task: str | None, modality: Modality | None) -> dict[str, Any]:
    """Return the keyword arguments of ``predict``, with ``task`` and ``modality`` unless they are None."""
    own = {"task": task, "modality": modality}
    return {**keywords, **{key: value for key, value in own.items() if value is not None}}
