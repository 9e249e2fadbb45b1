"""A chain with prompts and an activation that scores pairs and ranks documents."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, Literal

import torch
from torch import nn

from pairchain import hooks
from pairchain.chain.chain import ModuleChain
from pairchain.chain.device import checked_device
from pairchain.chain.inside import modules_inside
from pairchain.chain.keywords import parameter_names
from pairchain.chain.untrained import refuse_random_weights
from pairchain.engine import results, scoring
from pairchain.engine.batches import score_features
from pairchain.engine.legacy import (
    PREDICT_IGNORED,
    PREDICT_RENAMES,
    RANK_IGNORED,
    RANK_RENAMES,
    accepts_older_arguments,
)
from pairchain.engine.pool import WorkerPool, default_devices
from pairchain.engine.schedule import fastest
from pairchain.errors import InputError, MissingPackageError
from pairchain.format import activation
from pairchain.format.activation import Activation
from pairchain.inputs.arguments import checked_count, chosen_prompt
from pairchain.inputs.modality import plain_texts
from pairchain.inputs.pairs import Inputs, as_documents, as_inputs, as_stream, numbered_inputs, placing_errors
from pairchain.inputs.supported import check_supported
from pairchain.registry import default

_THREADS = "pass a number of threads, or None for torch's."


class Scorer(ModuleChain):
    """A chain that scores pairs and ranks documents.

    Attributes:
        prompts: Prompt texts by name.
        default_prompt_name: Name of the prompt that calls use by default.
        allow_random_head: Whether every call may score with random weights.
    """

    prompts: dict[str, str]
    default_prompt_name: str | None
    allow_random_head: bool = False
    _tokens_per_batch: int | None = None
    _threads: int | None = None
    _num_labels: int | None

    @accepts_older_arguments(renamed=PREDICT_RENAMES, ignored=PREDICT_IGNORED)
    @torch.inference_mode()
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | Literal["auto"] = "auto",
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | torch.device | Sequence[str | torch.device] | None = None,
        pool: WorkerPool | None = None,
        chunk_size: int | None = None,
        threads: int | None = None,
        allow_non_finite: bool = False,
        allow_random_head: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return a score for each pair, in the order of ``inputs``.

        Args:
            inputs: One pair, or any iterable of pairs; a pair is a list or tuple of two. Or a table with a query and a
                document column, or with two columns of texts: a frame of pandas, polars, pyarrow or datasets, a dict
                of columns, or rows that name their columns.
            prompt_name: Name of a prompt in `prompts`.
            prompt: Prompt text; overrides ``prompt_name``, and ``""`` switches the default prompt off.
            batch_size: Most pairs in a batch; ``"auto"`` limits batches by tokens alone.
            show_progress_bar: None shows one on a terminal when the work takes longer than a second.
            activation_fn: Applied to the scores instead of the model's own.
            apply_softmax: Apply softmax over the labels, if there are several.
            convert_to_numpy: Return an array; otherwise a list of tensors.
            convert_to_tensor: Return one tensor, on the model's device; overrides ``convert_to_numpy``.
            device: Move the model there first. For a list of devices, score with a worker process on each.
            pool: Workers that score instead of this process; see `start_multi_process_pool`.
            chunk_size: Pairs that a worker takes at a time.
            threads: Most threads to compute with on a CPU, shared by all workers; None for the model's `threads`.
            allow_non_finite: Return scores that are NaN or infinite instead of raising.
            allow_random_head: Score even if weights are random because the model's files lack them.
            **kwargs: Keyword arguments for the modules of the chain, such as ``processing_kwargs``.

        Returns:
            float32 of shape (pairs,) for one label, else (pairs, labels); for a single pair, shape () or (labels,).

        Raises:
            InputError: An input cannot be scored; the error says which one and why.
            RandomWeightsError: The model's files lack some of its weights, and they were never trained.
            UnknownKeywordError: No module takes a keyword.
            NonFiniteScoresError: Scores are NaN or infinite.
        """
        _check_batching({"batch_size": batch_size, "chunk_size": chunk_size, "threads": threads})
        passed = as_inputs(inputs)
        items, prompt = self._checked(passed, prompt_name, prompt, kwargs, allow_random_head)
        arguments: dict[str, Any] = {
            "prompt": prompt,
            "batch_size": None if batch_size == "auto" else batch_size,
            "tokens_per_batch": self.tokens_per_batch,
            "threads": threads or self.threads,
            "keywords": kwargs,
        }
        if pool is not None:
            scores = pool.score(self, items, arguments, chunk_size, show_progress_bar)
        elif isinstance(device, (list, tuple)):
            with self.start_multi_process_pool(device) as workers:
                scores = workers.score(self, items, arguments, chunk_size, show_progress_bar)
        else:
            if device is not None:
                self.to(checked_device(device))
            scores = scoring.score(self, items, show_progress_bar=show_progress_bar, **arguments)
        if items:
            self._num_labels = results.labels_in(scores)
            scores = results.finish(
                scores,
                self._activation_for(scores) if activation_fn is None else activation.checked_activation(activation_fn),
                apply_softmax=bool(apply_softmax),
                allow_non_finite=allow_non_finite,
            )
        return results.as_output(scores, single=passed.single, to_numpy=convert_to_numpy, to_tensor=convert_to_tensor)

    @accepts_older_arguments(renamed=RANK_RENAMES, ignored=RANK_IGNORED)
    def rank(
        self,
        query: Any,
        documents: Iterable[Any],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | Literal["auto"] = "auto",
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: str | torch.device | Sequence[str | torch.device] | None = None,
        pool: WorkerPool | None = None,
        chunk_size: int | None = None,
        threads: int | None = None,
        allow_non_finite: bool = False,
        allow_random_head: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Return the documents from the best to the worst for ``query``.

        Args:
            query: Paired with each document.
            documents: The documents: any iterable except a string; a column of a table; or a table of documents, whose
                column ``document`` or ``text`` is taken, or its only one.
            top_k: Return at most this many; None for all, 0 for none.
            return_documents: Add each document under ``"text"``.
            prompt_name, prompt, batch_size, show_progress_bar, activation_fn: As for `predict`.
            device, pool, chunk_size, threads, **kwargs: As for `predict`.
            allow_non_finite: As for `predict`; NaN ranks last.
            allow_random_head: As for `predict`.

        Returns:
            A dict for each document with ``corpus_id``, its position in ``documents``, and ``score``, a float.
            Documents of equal score keep their order.

        Raises:
            InputError: The model gives a pair several scores, or as for `predict`.
        """
        ranked = self.rank_many(
            [query],
            [documents],
            top_k,
            return_documents,
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
            device=device,
            pool=pool,
            chunk_size=chunk_size,
            threads=threads,
            allow_non_finite=allow_non_finite,
            allow_random_head=allow_random_head,
            **kwargs,
        )
        return ranked[0]

    def rank_many(
        self,
        queries: Iterable[Any],
        documents_per_query: Iterable[Iterable[Any]],
        top_k: int | None = None,
        return_documents: bool = False,
        **kwargs: Any,
    ) -> list[list[dict[str, Any]]]:
        """Return the documents of each query from the best to the worst; the pairs of all queries run together.

        Args:
            queries: The queries.
            documents_per_query: For each query, its documents.
            top_k: Return at most this many for each query; None for all, 0 for none.
            return_documents: Add each document under ``"text"``.
            **kwargs: As for `rank`.

        Returns:
            For each query, a list as `rank` returns it.

        Raises:
            InputError: The numbers of queries and of lists of documents differ, or as for `rank`.
        """
        if top_k is not None:
            top_k = checked_count(top_k, "top_k", least=0, next_step="pass a number of documents, or None for all.")
        _check_batching(kwargs)
        queries = as_documents(queries, "queries")
        lists = [as_documents(documents) for documents in as_documents(documents_per_query, "documents_per_query")]
        if len(queries) != len(lists):
            raise InputError(
                f"got {len(queries)} queries and {len(lists)} lists of documents.",
                next_step="pass a list of documents for each query; it may be empty.",
            )
        options = parameter_names(self.rank)
        self.check_keywords(kwargs.keys() - set(options), beside=options)
        self._refuse_random_weights(bool(kwargs.get("allow_random_head")))
        results.refuse_several_labels(self.declared_num_labels())
        pairs = [(query, document) for query, some in zip(queries, lists, strict=True) for document in some]
        scores = self.predict(pairs, **kwargs)
        # the number of labels may be known only now
        results.refuse_several_labels(results.labels_in(torch.as_tensor(scores)) if pairs else None)
        starts = accumulate(map(len, lists), initial=0)
        return [
            results.ranking(scores[start : start + len(some)], some, top_k=top_k, return_documents=return_documents)
            for start, some in zip(starts, lists, strict=False)
        ]

    def predict_stream(
        self, inputs: Iterable[Any], *, window: int = 4096, show_progress_bar: bool | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield a score for each pair in the order of ``inputs``, which may be endless: only a window is in memory.

        Args:
            inputs: An iterable of pairs, or a table as for `predict`.
            window: Number of pairs to read, sort by length and score together before their scores are yielded.
            show_progress_bar: None shows one on a terminal when the work takes longer than a second.
            **kwargs: As for `predict`.

        Yields:
            A float32 for one label, else float32 of shape (labels,); a tensor with ``convert_to_tensor``.

        Raises:
            InputError: As for `predict`; inputs are numbered from the beginning of the stream.
        """
        checked_count(window, "window")
        _check_batching(kwargs)
        self._refuse_random_weights(bool(kwargs.get("allow_random_head")))
        return self._stream(as_stream(inputs), window, show_progress_bar, kwargs)

    def _stream(
        self, rest: Iterator[Any], window: int, show_progress_bar: bool | None, options: dict[str, Any]
    ) -> Iterator[Any]:
        start = 0
        with scoring.Progress(None, show_progress_bar) as progress:
            while pairs := list(islice(rest, window)):
                numbered = numbered_inputs(pairs, start)
                with placing_errors(range(start, start + len(pairs))):
                    scores = self.predict(numbered, show_progress_bar=False, **options)
                progress.add(len(pairs), 0)
                yield from scores
                start += len(pairs)

    def trace(self, inputs: Any, **options: Any) -> Any:
        """Score ``inputs`` as `predict` does, and return a trace: the steps, and what each module reads and writes.

        The first call also measures some things once; trace a second call to see the work of every call.

        Args:
            inputs: As for `predict`.
            **options: As for `predict`, except ``pool`` and several devices.

        Returns:
            A `pairchain_trace.Trace`, with the scores of `predict`.

        Raises:
            MissingPackageError: The plugin pairchain-trace is not installed, or not allowed.
            InputError: The options ask for worker processes, or as for `predict`.
        """
        trace = hooks.ask_one("pairchain_trace", object, model=self, inputs=inputs, options=options)
        if trace is None:
            why, next_step = default.installation.absence("pairchain-trace")
            raise MissingPackageError(f"a trace needs the plugin pairchain-trace, which is {why}.", next_step=next_step)
        return trace

    def probe_tokens_per_batch(
        self, pairs: Any, *, candidates: Sequence[int] = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
    ) -> int:
        """Score ``pairs`` with each number of tokens in a batch, set `tokens_per_batch` to the fastest, and return it.

        The result depends on the model, the device and the lengths of the pairs. Pass it when you load the model again.

        Args:
            pairs: A sample of some hundred pairs; as for `predict`.
            candidates: Numbers of tokens to try. Those that do not fit into memory are left out.

        Raises:
            InputError: ``pairs`` or ``candidates`` is empty, or as for `predict`.
        """
        sample = as_inputs(pairs)
        for candidate in candidates:
            checked_count(candidate, "a candidate")
        if not sample.items or not candidates:
            raise InputError("the probe needs pairs and candidates.", next_step="pass a sample of some hundred pairs.")
        before = self.tokens_per_batch

        def run(tokens: int) -> None:
            self.tokens_per_batch = tokens
            # random weights take as long as trained ones
            self.predict(sample, show_progress_bar=False, allow_random_head=True)

        try:
            self.tokens_per_batch = fastest(run, candidates)
        except BaseException:
            self.tokens_per_batch = before
            raise
        return self.tokens_per_batch

    @property
    def tokens_per_batch(self) -> int | None:
        """Most tokens in a batch, padding included; None for a default that suits the device. Can be set."""
        return self._tokens_per_batch

    @tokens_per_batch.setter
    def tokens_per_batch(self, value: int | None) -> None:
        self._tokens_per_batch = None if value is None else checked_count(value, "tokens_per_batch")

    @property
    def threads(self) -> int | None:
        """Most threads to compute with on a CPU; None for ``torch.get_num_threads()`` of the caller. Can be set."""
        return self._threads

    @threads.setter
    def threads(self, value: int | None) -> None:
        self._threads = None if value is None else checked_count(value, "threads", next_step=_THREADS)

    def start_multi_process_pool(self, target_devices: Sequence[str | torch.device] | None = None) -> WorkerPool:
        """Return worker processes that hold a copy of the model, for ``predict(…, pool=pool)``.

        Use the pool in a ``with`` block, or end it with `stop_multi_process_pool`. Processes are spawned on every
        system, so a script must start the pool under ``if __name__ == "__main__":``.

        Args:
            target_devices: The device of each worker; None for every CUDA device, else four workers on the CPU.

        Raises:
            InputError: The model cannot be sent to another process.
        """
        # this process applies the activation, which may be a lambda that cannot be sent
        sent = copy.copy(self)
        sent.activation_fn = None
        return WorkerPool(self, default_devices() if target_devices is None else target_devices, sent)

    def _checked(
        self,
        passed: Inputs,
        prompt_name: str | None,
        prompt: str | None,
        keywords: Mapping[str, Any],
        allow_random_head: bool,
    ) -> tuple[list[Any], str | None]:
        """Return inputs ready to be encoded, and the prompt's text; the arguments are those of `predict`."""
        self.check_keywords(keywords, beside=parameter_names(self.predict))
        self._refuse_random_weights(allow_random_head)
        prompt = chosen_prompt(self.prompts, self.default_prompt_name, prompt=prompt, name=prompt_name)
        taken = getattr(self.input_module, "modalities", ["text"])
        check_supported(passed.items, taken)
        if any(module.training for module in modules_inside(self)):
            self.eval()
        return plain_texts(passed.items, taken), prompt

    def _refuse_random_weights(self, allowed: bool) -> None:
        if not (allowed or self.allow_random_head):
            refuse_random_weights(modules_inside(self))

    @staticmethod
    def stop_multi_process_pool(pool: WorkerPool) -> None:
        """End the workers of ``pool``, as `WorkerPool.close` does."""
        pool.close()

    @property
    def num_labels(self) -> int:
        """Scores for each pair.

        The module that writes the scores declares the number. Otherwise the first use scores one short pair.
        """
        if self._known_num_labels is None:
            scoring.refuse_fork(self.device)
            with torch.inference_mode():
                features = self.preprocess([("query", "document")])
                self._num_labels = results.labels_in(score_features(self, features, 1, {}))
        assert self._known_num_labels is not None
        return self._known_num_labels

    @property
    def _known_num_labels(self) -> int | None:
        """`num_labels`, or None if only running the model can tell."""
        declared = self.declared_num_labels()
        return self._num_labels if declared is None else declared

    @property
    def activation_fn(self) -> Activation:
        """The function applied to the scores: as given or saved, else Sigmoid for one label and Identity for more."""
        chosen: Activation | None = self.__dict__["_activation"]
        return _default_activation(self.num_labels) if chosen is None else chosen

    @activation_fn.setter
    def activation_fn(self, value: Activation | None) -> None:
        self.__dict__["_activation"] = None if value is None else activation.checked_activation(value)

    def _activation_for(self, scores: torch.Tensor) -> Activation:
        chosen: Activation | None = self.__dict__["_activation"]
        if chosen is not None:
            return chosen
        # self._num_labels may come from another thread's call
        declared = self.declared_num_labels()
        return _default_activation(results.labels_in(scores) if declared is None else declared)


def _default_activation(num_labels: int) -> Activation:
    return nn.Sigmoid() if num_labels == 1 else nn.Identity()


def _check_batching(options: Mapping[str, Any]) -> None:
    batch_size = options.get("batch_size", "auto")
    if not (isinstance(batch_size, str) and batch_size == "auto"):
        checked_count(batch_size, "batch_size", next_step='pass a number such as 32, or "auto".')
    if (chunk_size := options.get("chunk_size")) is not None:
        checked_count(chunk_size, "chunk_size")
    if (threads := options.get("threads")) is not None:
        checked_count(threads, "threads", next_step=_THREADS)
