"""`pairchain serve` as an application of Ray Serve: ``serve run pairchain_ray.serving:app model=MODEL``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ray import serve

import pairchain
from pairchain.authoring import nearest
from pairchain.errors import FormatError, InputError

# What waits in a replica can be batched, so a replica takes more requests than Ray's default of 5.
_MOST_REQUESTS = 256

_NAMES = ("model", "name", "revision", "lock", "device", "backend", "replicas", "gpus_per_replica", "key_variable")


def app(args: Mapping[str, str]) -> serve.Application:
    """Return the application.

    Args:
        args: ``model``, a folder that all machines share or a Hub repository, optionally: ``name``, by which requests
            choose it; ``revision``, ``lock``, ``device`` and ``backend`` as for `pairchain.CrossEncoder`; ``replicas``,
            and ``gpus_per_replica``; ``key_variable``, the environment variable of the replicas that holds the API key.

    Raises:
        InputError: ``model`` is missing, or an argument is unknown.
    """
    for name in args:
        if name not in _NAMES:
            raise InputError(f"the application takes no argument {name!r}{nearest(name, _NAMES)}.")
    if not (model := args.get("model", "")):
        raise InputError("the application needs a model.", next_step="add model=FOLDER or model=OWNER/NAME.")
    if os.path.isdir(model):
        model = os.path.abspath(model)
    loading: dict[str, Any] = {name: args[name] for name in ("device", "backend") if name in args}
    build = _builder(args.get("name", model), model, {**loading, **_pinned(model, args)}, args.get("key_variable"))
    deployment = serve.deployment(
        name="pairchain",
        num_replicas=int(args.get("replicas", 1)),
        max_ongoing_requests=_MOST_REQUESTS,
        ray_actor_options={"num_gpus": float(args.get("gpus_per_replica", 0))},
    )
    return deployment(serve.ingress(build)()).bind()


def _builder(name: str, model: str, loading: Mapping[str, Any], key_variable: str | None) -> Callable[[], Any]:
    """Return a function that loads the model and makes the application, in each replica."""

    def build() -> Any:
        from pairchain_serve.app import build as build_app

        keys = [os.environ[key_variable]] if key_variable else []
        return build_app({name: pairchain.CrossEncoder(model, **loading)}, keys=keys)

    return build


def _pinned(model: str, args: Mapping[str, str]) -> dict[str, Any]:
    """Return arguments of CrossEncoder that make all replicas load the same files."""
    revision = args.get("revision")
    if (path := args.get("lock")) is not None:
        return {"lock": pairchain.Lock.read(path), "revision": revision}
    try:
        # other versions of plugins on another machine might compute other scores
        return {"lock": replace(pairchain.lock(model, None, revision=revision), plugin_drift="raise")}
    except FormatError:
        return {"revision": revision}
