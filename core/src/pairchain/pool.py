"""Worker processes that score together: each has the whole model, and takes the next chunk when it is done with one."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pairchain import scoring
from pairchain.errors import InputError, WorkerError
from pairchain.scoring import progress_bar

if TYPE_CHECKING:
    from pairchain.cross_encoder import CrossEncoder

# Chunks a worker gets in one call, so that a slow one does not leave the others waiting.
_CHUNKS_PER_WORKER = 4
_MOST_IN_A_CHUNK = 5000

# The model of this worker process, set once when it starts.
_model: CrossEncoder | None = None
_failure: Exception | None = None


class WorkerPool:
    """Processes started by spawning, one for each device, that keep a copy of a model until they are closed.

    Args:
        model: The model; workers unpickle it from a temporary file, so its classes must be importable there.
        devices: Where each worker computes, such as ``["cuda:0", "cuda:1"]`` or ``["cpu", "cpu"]``.

    Raises:
        InputError: There are no devices, or no list of them, or the model cannot be pickled.
    """

    def __init__(self, model: CrossEncoder, devices: Sequence[str | torch.device]) -> None:
        if not devices or isinstance(devices, (str, torch.device)):
            raise InputError(
                f"a pool needs a list of at least one device, got {devices!r}.",
                next_step="name them, such as ['cpu', 'cpu'].",
            )
        self.devices = [str(device) for device in devices]
        self._closed = False
        self._model = weakref.ref(model)
        # not an argument of the processes: one that ends before it has read a large one leaves its starter waiting
        self._folder = tempfile.TemporaryDirectory(prefix="pairchain-pool-")
        file = Path(self._folder.name, "model.pickle")
        _pickle(model, file)
        context = multiprocessing.get_context("spawn")
        waiting = context.SimpleQueue()
        for device in self.devices:
            waiting.put(device)
        # processes on the CPU share its cores
        threads = max(1, torch.get_num_threads() // len(self.devices))
        self._executor = ProcessPoolExecutor(
            len(self.devices), context, initializer=_start_worker, initargs=(file, waiting, threads)
        )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers when each is done with its chunk; chunks that wait are dropped."""
        self._closed = True
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()

    def __len__(self) -> int:
        return len(self.devices)

    def score(
        self,
        model: CrossEncoder,
        items: Sequence[Any],
        arguments: Mapping[str, Any],
        chunk_size: int | None = None,
        show_progress_bar: bool | None = False,
    ) -> torch.Tensor:
        """Return the scores of ``items`` in their order, on the CPU.

        Args:
            model: The model that asks, which must be the one whose copies the workers hold.
            items: Pairs, as tuples of two.
            arguments: Arguments of `scoring.score` but the chain and the items.
            chunk_size: Pairs a worker takes at a time; None for a few chunks a worker.
            show_progress_bar: None shows one on a terminal, for long work.

        Raises:
            InputError: The pool is closed or another model's, or an argument or an input cannot be sent to a worker.
            WorkerError: A worker died. An error that was raised in one reaches the caller as it was.
        """
        if chunk_size is not None and (not isinstance(chunk_size, Integral) or chunk_size < 1):
            raise InputError(f"chunk_size must be a positive integer, got {chunk_size!r}.")
        if self._closed:
            raise InputError("the pool is closed.", next_step="start another with start_multi_process_pool.")
        if self._model() is not model:
            raise InputError(
                "the pool holds another model.", next_step="start one with this model's start_multi_process_pool."
            )
        if not items:
            return torch.empty(0)
        size = chunk_size or min(math.ceil(len(items) / (len(self) * _CHUNKS_PER_WORKER)), _MOST_IN_A_CHUNK)
        starts = range(0, len(items), size)
        try:
            work = [
                pickle.dumps((list(items[start : start + size]), {**arguments, "first_index": start}))
                for start in starts
            ]
        except Exception as error:  # pickle raises whatever an object's own reduction raises
            raise InputError(
                f"an input or argument cannot be sent to the workers: {error}",
                next_step="pass what other processes can import and unpickle: no lambdas, no open files.",
            ) from error
        futures: list[Future[np.ndarray[Any, Any]]] = []
        try:
            # a pool whose worker died before refuses here
            futures += [self._executor.submit(_score_chunk, chunk) for chunk in work]
            with progress_bar(len(items), show_progress_bar) as progress:
                for future in futures:
                    progress.update(len(future.result()))
            return torch.from_numpy(np.concatenate([future.result() for future in futures]))
        except BrokenProcessPool as error:
            raise WorkerError(
                f"a worker process died: {error}",
                next_step="start a new pool, of fewer workers or with a smaller batch_size if memory ran out; a script "
                'must do so under `if __name__ == "__main__":`.',
            ) from error
        finally:
            for future in futures:
                future.cancel()


def default_devices() -> list[str]:
    """Return every CUDA device, or the CPU four times."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"] * 4


def _pickle(model: CrossEncoder, path: Path) -> None:
    with _on_cpu(model), path.open("wb") as file:
        # the caller applies the activation, which may be a lambda, to the scores of all workers
        raw = copy.copy(model)
        raw.activation_fn = None
        try:
            pickle.dump(raw, file)
        except OSError:  # such as a full disk
            raise
        except Exception as error:  # as above
            raise InputError(
                f"the model cannot be sent to worker processes: {error}",
                next_step="define its classes and functions in a module that other processes can import.",
            ) from error


@contextmanager
def _on_cpu(model: CrossEncoder) -> Iterator[None]:
    device = model.device
    model.to("cpu")
    try:
        yield
    finally:
        model.to(device)


def _start_worker(model: Path, waiting: Any, threads: int) -> None:
    global _model, _failure
    try:
        torch.set_num_threads(threads)
        with model.open("rb") as file:
            _model = pickle.load(file).to(waiting.get())
    except Exception as error:  # raised here it would only be logged; the first chunk takes it to the caller
        _failure = error


def _score_chunk(chunk: bytes) -> np.ndarray[Any, Any]:
    if _model is None:
        raise WorkerError(
            f"a worker process could not take the model: {type(_failure).__name__}: {_failure}",
            next_step="check the devices, and define the model's classes in a module that other processes can import.",
        )
    try:
        items, arguments = pickle.loads(chunk)
        with torch.inference_mode():
            # no tensor: torch would hold a file open for each one on its way
            return scoring.score(_model, items, **arguments).cpu().numpy()
    except Exception as error:
        if _is_portable(error):
            raise
        raise WorkerError(f"{type(error).__name__} was raised in a worker process: {error}") from error


def _is_portable(error: Exception) -> bool:
    """Return whether ``error`` survives the way to the caller; one that does not would break the pool."""
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:  # as above
        return False
