"""Worker processes that score together: each holds a copy of the model and takes one chunk of pairs after another."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import signal
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pairchain.chain.chain import ModuleChain
from pairchain.chain.device import checked_device, is_dispatched
from pairchain.chain.inside import modules_inside, parameters_inside
from pairchain.code import importing
from pairchain.code.admitted import CODES
from pairchain.engine import scoring
from pairchain.engine.scoring import Progress
from pairchain.errors import InputError, PairchainWarning, WorkerError, warn
from pairchain.inputs.arguments import checked_count

# Several chunks for each worker, so that a slow chunk does not leave the other workers idle.
_CHUNKS_PER_WORKER = 4
_MOST_IN_A_CHUNK = 5000

# In a worker process: its name, its model or the reason why it has none, and warnings from its start.
_name = ""
_model: ModuleChain | None = None
_failure: Exception | None = None
_early: list[WorkerWarning] = []

# In the caller's process: the registry in which Python remembers warnings that it has shown.
_registry: dict[Any, Any] = {}


class WorkerWarning(NamedTuple):
    """A warning of a worker process, on its way to the caller."""

    category: type[Warning]
    text: str
    filename: str
    line: int
    worker: str


class WorkerPool:
    """Spawned processes, one for each device, that hold a copy of a model until you close the pool.

    Args:
        model: The model.
        devices: The device of each worker, such as ``["cuda:0", "cuda:1"]`` or ``["cpu", "cpu"]``.
        sent: The copy of the model that workers get; None for the model itself. They unpickle it from a temporary file,
            so they must be able to import its classes.

    Raises:
        InputError: ``devices`` is not a list, is empty or names a device that this machine does not have; or the model
            cannot be sent to a process.
        WorkerError: This process may not start others.
    """

    def __init__(
        self, model: ModuleChain, devices: Sequence[str | torch.device], sent: ModuleChain | None = None
    ) -> None:
        if isinstance(devices, str) or not isinstance(devices, Sequence) or not devices:
            raise InputError(
                f"a pool needs a list of at least one device, got {devices!r}.",
                next_step="name them, such as ['cpu', 'cpu'].",
            )
        if multiprocessing.current_process().daemon:
            raise WorkerError(
                "this process is a daemon of multiprocessing, which may not start processes.",
                next_step="score in it without workers, or start it with daemon=False.",
            )
        self.devices = [str(checked_device(device)) for device in devices]
        self._closed = False
        self._model = weakref.ref(model)
        self._weights = _stamp(model)
        # a file, not an argument: the caller would wait forever for a process that ends before it has read an argument
        self._folder = tempfile.TemporaryDirectory(prefix="pairchain-pool-")
        file = Path(self._folder.name, "model.pickle")
        _pickle(model if sent is None else sent, file)
        self._context = _Context()
        waiting = self._context.SimpleQueue()
        for number, device in enumerate(self.devices, 1):
            waiting.put((f"worker {number} on {device}", device))
        # processes on the CPU share its cores
        threads = self._share_of(getattr(model, "threads", None) or torch.get_num_threads())
        self._executor = ProcessPoolExecutor(
            len(self.devices), self._context, initializer=_start_worker, initargs=(file, waiting, threads)
        )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the waiting chunks, and end the workers after their current chunks."""
        self._closed = True
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()

    def __len__(self) -> int:
        return len(self.devices)

    def score(
        self,
        model: ModuleChain,
        items: Sequence[Any],
        arguments: Mapping[str, Any],
        chunk_size: int | None = None,
        show_progress_bar: bool | None = False,
    ) -> torch.Tensor:
        """Return the scores of ``items`` in their order, on the CPU, and repeat the warnings of the workers.

        Args:
            model: The model that the pool was started with.
            items: Pairs, as tuples of two.
            arguments: The other arguments of `scoring.score`.
            chunk_size: Pairs that a worker takes at a time; None for a few chunks for each worker.
            show_progress_bar: None shows one on a terminal, for long work.

        Raises:
            InputError: The pool is closed or holds another model, the model's weights have changed since, or an
                argument or input cannot be sent to a worker.
            WorkerError: A worker died. An error raised in a worker is raised again unchanged.
        """
        if chunk_size is not None:
            checked_count(chunk_size, "chunk_size")
        if fault := self._fault(model):
            raise InputError(fault, next_step="start another with the model's start_multi_process_pool.")
        if not items:
            return torch.empty(0)
        arguments = {
            **arguments,
            "threads": None if (most := arguments.get("threads")) is None else self._share_of(most),
        }
        size = chunk_size or min(math.ceil(len(items) / (len(self) * _CHUNKS_PER_WORKER)), _MOST_IN_A_CHUNK)
        starts = range(0, len(items), size)
        try:
            work = [
                pickle.dumps((items[start : start + size], {**arguments, "first_index": start})) for start in starts
            ]
        except Exception as error:  # pickle raises whatever an object's own reduction raises
            raise InputError(
                f"an input or argument cannot be sent to the workers: {error}",
                next_step="pass what other processes can import and unpickle: no lambdas, no open files.",
            ) from error
        futures: list[Future[tuple[np.ndarray[Any, Any], list[WorkerWarning]]]] = []
        scores = []
        known: set[tuple[type[Warning], str]] = set()
        try:
            # this raises BrokenProcessPool if a worker died earlier
            futures += [self._executor.submit(_score_chunk, chunk) for chunk in work]
            with Progress(len(items), show_progress_bar) as progress:
                for future in futures:
                    written, warned = future.result()
                    scores.append(written)
                    _warn_again(warned, known)
                    progress.add(len(written), 0)
            return torch.from_numpy(np.concatenate(scores))
        except BrokenProcessPool as error:
            # exit codes are known only after the shutdown
            self._executor.shutdown(wait=True)
            raise WorkerError(
                f"a worker process died{self._context.cause_of_death()}: {error}",
                next_step="start a new pool, of fewer workers or with a smaller batch_size if memory ran out; a script "
                'must do so under `if __name__ == "__main__":`.',
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def _share_of(self, threads: int) -> int:
        """Return the threads of one worker, if all share so many."""
        return max(1, threads // len(self.devices))

    def _fault(self, model: ModuleChain) -> str:
        if self._closed:
            return "the pool is closed."
        if self._model() is not model:
            return "the pool holds another model."
        changed = _stamp(model) != self._weights
        return "the model's weights have changed since the workers got their copies." if changed else ""


def _stamp(model: torch.nn.Module) -> list[tuple[int, int | None]]:
    """Return a value that changes when weights are replaced or trained, but not when the model is moved."""
    return [(id(weight), None if weight.is_inference() else weight._version) for weight in parameters_inside(model)]


def default_devices() -> list[str]:
    """Return every CUDA device, or four times the CPU."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"] * 4


class _Context(SpawnContext):
    """Spawns processes and keeps them, because the cause of a process's death is known only from its exit code."""

    def __init__(self) -> None:
        super().__init__()
        self._processes: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # type: ignore[override]
        self._processes.append(SpawnProcess(*args, **kwargs))
        return self._processes[-1]

    def cause_of_death(self) -> str:
        """Return how a worker died, such as `` (killed by SIGKILL)``; an empty string if that is unknown."""
        for process in self._processes:
            code = process.exitcode
            # the executor ends the others by SIGTERM
            if code not in (None, 0, -signal.SIGTERM):
                return f" ({f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'})"
        return ""


class _CpuPickler(pickle.Pickler):
    """Pickles tensors as CPU tensors, so that no worker takes memory on the device of another."""

    def reducer_override(self, value: Any) -> Any:
        # a Parameter, or another subclass, pickles its plain tensor
        if type(value) is torch.Tensor and value.device.type not in ("cpu", "meta"):
            return value.detach().cpu().__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return NotImplemented


def _pickle(model: ModuleChain, path: Path) -> None:
    cannot = "the model cannot be sent to worker processes"
    if any(map(is_dispatched, modules_inside(model))):
        raise InputError(
            f"{cannot}: its device_map spread it over several devices, and each worker needs all of it on one.",
            next_step="load it without a device_map, or predict without worker processes.",
        )
    with path.open("wb") as file:
        try:
            # workers may run the custom code that was admitted here, and no other
            pickle.dump(tuple(CODES.values()), file)
            _CpuPickler(file, pickle.HIGHEST_PROTOCOL).dump(model)
        except OSError:  # such as a full disk
            raise
        except Exception as error:  # as above
            step = "define its classes and functions in a module that other processes can import."
            raise InputError(f"{cannot}: {error}", next_step=step) from error


def _start_worker(model: Path, waiting: Any, threads: int) -> None:
    global _name, _model, _failure
    try:
        torch.set_num_threads(threads)
        _name, device = waiting.get()
        with model.open("rb") as file, _noting(_early):
            for code in pickle.load(file):
                importing.admit(code)
            _model = pickle.load(file).to(device)
    except Exception as error:  # the executor would only log it; the first chunk raises it to the caller
        _failure = error


def _score_chunk(chunk: bytes) -> tuple[np.ndarray[Any, Any], list[WorkerWarning]]:
    if _model is None:
        raise WorkerError(
            f"a worker process could not load the model: {type(_failure).__name__}: {_failure}",
            next_step="check the devices, and define the model's classes in a module that other processes can import.",
        )
    warned = list(_early)
    _early.clear()
    try:
        with _noting(warned), torch.inference_mode():
            items, arguments = pickle.loads(chunk)
            # as an array: torch holds a file open for every tensor that it sends
            return scoring.score(_model, items, **arguments).cpu().numpy(), warned
    except Exception as error:
        if _survives(error):
            raise
        sent = WorkerError(f"{type(error).__name__} was raised in a worker process: {error}")
        for note in getattr(error, "__notes__", ()):
            sent.add_note(note)
        raise sent from error


@contextmanager
def _noting(warned: list[WorkerWarning]) -> Iterator[None]:
    """Add the warnings of the block to ``warned``, each once; if it raises, show them here: only the error is sent."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except Exception:
        for found in caught:
            warnings.warn_explicit(found.message, found.category, found.filename, found.lineno)
        raise
    warned += dict.fromkeys(
        WorkerWarning(_portable(found.category), str(found.message), found.filename, found.lineno, _name)
        for found in caught
    )


def _warn_again(warned: Iterable[WorkerWarning], known: set[tuple[type[Warning], str]]) -> None:
    """Repeat the warnings of a worker in this process, except for those ``known`` from any worker."""
    for found in warned:
        if (found.category, found.text) not in known:
            known.add((found.category, found.text))
            # the worker comes last, because filters match the beginning of a text
            text = f"{found.text} [{found.worker}]"
            if issubclass(found.category, PairchainWarning):
                warn(text, found.category)
            else:
                warnings.warn_explicit(text, found.category, found.filename, found.line, registry=_registry)


def _portable(category: type[Warning]) -> type[Warning]:
    """Return ``category``, or its nearest base class that the caller's process can import and build from a text."""
    for base in category.__mro__:
        try:
            if issubclass(base, Warning) and _survives(base("text")):
                return base
        except Exception:  # a class may need other arguments
            continue
    return UserWarning


def _survives(value: Exception) -> bool:
    """Return whether a warning or error survives pickling; an error that does not would break the pool."""
    try:
        return isinstance(pickle.loads(pickle.dumps(value)), type(value))
    except Exception:  # as above
        return False
