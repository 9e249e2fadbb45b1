"""Decides from the files of a checkpoint whether it is taken, and says how it is loaded; imports no torch."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pairchain.authoring import Weights, read_headers
from pairchain.backends import Checkpoint
from pairchain_packed.architecture import Architecture, Head
from pairchain_packed.families import FAMILIES
from pairchain_packed.families.entries import Entries, NotTakenError
from pairchain_packed.families.family import CLASS_ENDINGS, CLASSIFICATION, FEATURES, Family
from pairchain_packed.files import check_files
from pairchain_packed.options import Options, options_of
from pairchain_packed.parameters import Shape, parameters

# Dtypes, as safetensors names them, of weights that can be computed with, and of buffers that older versions saved.
_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_BUFFERS = frozenset({"I64", "I32", "BOOL"})

_NUMBER = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class Place:
    """Where the weights of one of our parameters are.

    Attributes:
        ours: The name of the parameter.
        theirs: The library's names of the weights that stand side by side in it.
        in_files: The names of these weights in the checkpoint's files.
        shapes: Their shapes.
    """

    ours: str
    theirs: tuple[str, ...]
    in_files: tuple[str, ...]
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is loaded.

    Attributes:
        plan, head: The model.
        class_name: The library's class of the same model.
        places: Where its weights are.
        dtype: The dtype to compute with, such as ``"float32"``.
        options: What else the caller asked for.
    """

    plan: Architecture
    head: Head
    class_name: str
    places: tuple[Place, ...]
    dtype: str
    options: Options

    @property
    def labels(self) -> int | None:
        """The number of labels of a classifier."""
        return self.head.width if self.class_name.endswith("Classification") else None


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    """Return how to load a checkpoint.

    Raises:
        NotTakenError: It has something that no table knows.
        FormatError: The header of a safetensors file is damaged.
    """
    options = options_of(checkpoint.model_kwargs)
    kind = checkpoint.config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None or not isinstance(kind, str):
        raise NotTakenError(f"it has no table for the architecture {kind!r}")
    if checkpoint.task not in family.heads:
        raise NotTakenError(f"it does not run {kind!r} for {checkpoint.task!r}")
    check_files(checkpoint.source)
    plan, head = _plans(family, checkpoint)
    if (weights := read_headers(checkpoint.source)) is None:
        raise NotTakenError("there is no model.safetensors")
    head = _as_saved(head, family, checkpoint.task, weights.shapes)
    places = tuple(_places(family, checkpoint.task, plan, head, weights.shapes))
    _check_rest(places, weights)
    class_name = family.types[kind] + CLASS_ENDINGS[checkpoint.task]
    # the library names this one class after the model that also reads images
    class_name = class_name.replace("Gemma3TextForCausalLM", "Gemma3ForCausalLM")
    dtype = options.dtype or _saved_dtype(checkpoint.config, weights)
    return Recipe(plan, head, class_name, places, dtype, options)


def _plans(family: Family, checkpoint: Checkpoint) -> tuple[Architecture, Head]:
    entries = Entries(_with_labels(checkpoint))
    try:
        plan, head = family.read(entries), family.heads[checkpoint.task][0](entries)
        entries.check_all_read()
    except NotTakenError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise NotTakenError(f"config.json has a value that it cannot read ({type(error).__name__}: {error})") from error
    if head.reads == "last" and checkpoint.task == CLASSIFICATION and plan.padding is None:
        raise NotTakenError("config.json has no pad_token_id, by which a classifier finds the last token")
    return plan, head


def _with_labels(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the configuration; a model that was never a classifier gets one label."""
    config = checkpoint.config
    names = config.get("architectures")
    was_classifier = isinstance(names, list) and any(str(name).endswith("ForSequenceClassification") for name in names)
    if checkpoint.task != CLASSIFICATION or was_classifier:
        return config
    if config.get("num_labels") not in (None, 1):
        raise NotTakenError("config.json names no classifier")
    return {**config, "id2label": None, "num_labels": 1}


def _as_saved(head: Head, family: Family, task: str, names: Container[str]) -> Head:
    """Return the head with the optional layers that the checkpoint has."""
    has = {ours: _found(f"{theirs}.weight", family.base, task, names) for ours, theirs in family.heads[task][1].items()}
    return replace(
        head,
        has_pooler=head.has_pooler and bool(has.get("head.pooler")),
        # a saved output layer is read, and equals the embeddings if both are tied
        is_tied=head.is_tied and not has.get("head.output"),
    )


def _places(family: Family, task: str, plan: Architecture, head: Head, shapes: Mapping[str, Shape]) -> Iterator[Place]:
    """Yield where the weights of each parameter are.

    Raises:
        NotTakenError: Weights are missing, have another shape, or are there twice.
    """
    for ours, parts in parameters(plan, head):
        theirs = _library_names(ours, family, task)
        if len(theirs) == 1 and len(parts) > 1:
            parts = ((sum(part[0] for part in parts), *parts[0][1:]),)
        in_files = []
        for name, shape in zip(theirs, parts, strict=True):
            found = _found(name, family.base, task, shapes)
            if not found:
                raise NotTakenError(f"its files lack {name}")
            if len(found) > 1:
                raise NotTakenError(f"its files hold both {found[0]} and {found[1]}")
            if shapes[found[0]] != shape:
                raise NotTakenError(f"{found[0]} has the shape {list(shapes[found[0]])}, not {list(shape)}")
            in_files.append(found[0])
        yield Place(ours, theirs, tuple(in_files), parts)


def _library_names(ours: str, family: Family, task: str) -> tuple[str, ...]:
    """Return the names of the library's weights that stand side by side in our parameter."""
    module, _, kind = ours.rpartition(".")
    number = next((part for part in module.split(".") if part.isdecimal()), "")
    pattern = module.replace(f"layers.{number}.", "layers.*.") if number else module
    prefix = ""
    if pattern in family.heads[task][1]:
        theirs = family.heads[task][1][pattern]
    else:
        theirs = family.names[pattern]
        prefix = "" if task == FEATURES else f"{family.base}."
    names = (theirs,) if isinstance(theirs, str) else theirs
    return tuple(f"{prefix}{name}.{kind}".replace("*", number) for name in names)


def _found(name: str, base: str, task: str, names: Container[str]) -> list[str]:
    """Return the names under which the files hold a weight: with or without the prefix, or as TensorFlow named it."""
    candidates = [name]
    if task == FEATURES:
        candidates.append(f"{base}.{name}")
    elif name.startswith(f"{base}."):
        candidates.append(name.removeprefix(f"{base}."))
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        candidates += [candidate.replace(new, old) for candidate in candidates if candidate.endswith(new)]
    return [candidate for candidate in candidates if candidate in names]


def _check_rest(places: Iterable[Place], weights: Weights) -> None:
    """Refuse dtypes that are not computed with, and weights that are more than another head's."""
    used = {name for place in places for name in place.in_files}
    if other := weights.parameters.keys() - _FLOATS.keys() - _BUFFERS:
        raise NotTakenError(f"its files hold weights of the dtype {min(other)}")
    forms = {_NUMBER.sub(".#.", name) for name in used if _NUMBER.search(name)}
    for name in sorted(weights.shapes.keys() - used):
        if _NUMBER.sub(".#.", name) in forms:
            raise NotTakenError(f"its files hold {name}, of a layer that config.json does not count")
        if "lora_" in name or "base_layer" in name:
            raise NotTakenError(f"its files hold {name}, which belongs to an adapter")


def _saved_dtype(config: Mapping[str, Any], weights: Weights) -> str:
    """Return the dtype that ``"auto"`` means to the library: that of the configuration, or that of the weights."""
    named = config.get("dtype") or config.get("torch_dtype")
    if named is not None:
        dtype = str(named).removeprefix("torch.")
        if dtype not in _FLOATS.values():
            raise NotTakenError(f"it does not compute with the dtype {named!r}")
        return dtype
    found = [_FLOATS[name] for name in weights.parameters if name in _FLOATS]
    if len(found) != 1:
        raise NotTakenError("its files hold weights of several dtypes")
    return found[0]
