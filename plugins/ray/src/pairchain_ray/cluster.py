"""Connects to a Ray cluster, and decides how much of it the workers take."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from pairchain.errors import PairchainError
from pairchain_cli.authoring import is_watched
from pairchain_ray.options import ClusterOptions


@dataclass(frozen=True)
class Workers:
    """The processes that score.

    Attributes:
        count: How many there are.
        cpus: The CPUs of each, in Ray's accounting.
        gpus: The GPUs of each.
    """

    count: int
    cpus: float
    gpus: float


@contextmanager
def connected(options: ClusterOptions) -> Iterator[Workers]:
    """Connect to the cluster, or start one on this machine, and yield the workers that it has room for.

    Raises:
        PairchainError: There is no cluster at the address, or it cannot hold the workers.
    """
    # this run must not tell anyone that it happens
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    was_connected = ray.is_initialized()
    if not was_connected:
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        here = {"address": "local", "include_dashboard": False}
        try:
            ray.init(**({"address": options.address} if options.address else here), **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PairchainError(
                f"cannot connect to the Ray cluster at {options.address!r}: {str(error).splitlines()[0]}",
                next_step="start one with `ray start --head`, or leave out --address to start Ray here.",
            ) from error
        except OSError as error:
            # the path of a socket must fit into 107 bytes, and Ray puts its sockets into the temporary folder
            raise PairchainError(
                f"cannot start Ray: {error}", next_step="set RAY_TMPDIR to a folder with a short path, such as /tmp."
            ) from error
    _calm()
    try:
        yield _workers(options, ray.cluster_resources())
    finally:
        if not was_connected:
            ray.shutdown()


def _workers(options: ClusterOptions, resources: dict[str, float]) -> Workers:
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    wanted = options.gpus_per_worker
    if wanted > 0:
        # a fraction of a GPU does not span two of them
        room = int(gpus) * int(1 / wanted) if wanted < 1 else int(gpus / wanted)
        if (options.workers or 1) > room:
            raise PairchainError(
                f"the cluster has {gpus:g} GPUs, which hold {room} workers with {wanted:g} each.",
                next_step="choose smaller --workers or --gpus-per-worker.",
            )
        count = options.workers or room
    else:
        count = options.workers or max(1, int(cpus) - 1)
    # one CPU stays free for reading and writing, which would otherwise wait for a worker forever
    return Workers(count, min(1.0, max(cpus - 1, 0.5) / count), wanted)


def _calm() -> None:
    """Show Ray's progress bars on a terminal only, and tell a worker's error by what it says, not by Ray's logs."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = is_watched()
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
