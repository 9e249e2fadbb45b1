"""Loads the models that the command's options describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pairchain.hooks import ask_one
from pairchain_cli.authoring import ModelOptions, load_model
from pairchain_serve.models import Model


def load_models(wanted: Mapping[str, ModelOptions], tokens_per_batch: int | None, allow_urls: bool) -> list[Model]:
    """Return loaded models, warm, by the options of each name.

    Raises:
        PairchainError: A model cannot be loaded.
    """
    models = []
    for name, options in wanted.items():
        devices = options.device or []
        chain = load_model(_on_one_device(options))
        if tokens_per_batch is not None:
            chain.tokens_per_batch = tokens_per_batch
        pool = chain.start_multi_process_pool(devices) if len(devices) > 1 else None
        model = Model(name, options.model, chain, allow_urls=allow_urls, pool=pool)
        model.warm_up()
        models.append(model)
    return models


def page_of(model: Model, options: ModelOptions) -> Any:
    """Return the page that a plugin shows of a model, or None without one."""
    return ask_one("pairchain_page", model=model.chain, options=options)


def _on_one_device(options: ModelOptions) -> ModelOptions:
    return replace(options, device=options.device[:1] if options.device else None)
