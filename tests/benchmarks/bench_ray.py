"""Compares a run on Ray, on this machine, with one call of predict in one process, and prints the ratio of their times.

Run it in the environment of the session: ``nox -s engines``, then
``.nox/engines/bin/python tests/benchmarks/bench_ray.py [--pairs N]``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import pyarrow.parquet
import ray

from pairchain import CrossEncoder, ScoreColumns
from pairchain_ray.worker import Worker

MODEL = Path(__file__).parents[1] / "golden/bert_seqcls_1label/model"


def pairs_of(count: int) -> dict[str, list[str]]:
    """Return columns of pairs with skewed lengths."""
    return {
        "query": [f"how many people live in berlin {row % 97} ?" for row in range(count)],
        "document": [f"berlin had {row} inhabitants . " * (1 + row**2 % 11) for row in range(count)],
    }


def main() -> None:
    """Measure both, each once after a warm-up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--model", default=str(MODEL))
    chosen = parser.parse_args()
    columns = pairs_of(chosen.pairs)
    pairs = list(zip(columns["query"], columns["document"], strict=True))
    model = CrossEncoder(chosen.model)
    model.predict(pairs[:64])
    began = time.perf_counter()
    model.predict(pairs)
    alone = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        pyarrow.parquet.write_table(pa.table(columns), f"{folder}/in.parquet")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        began = time.perf_counter()
        _scored(chosen.model, f"{folder}/in.parquet").write_parquet(f"{folder}/out")
        whole = time.perf_counter() - began
        # what the worker itself spends, without starting processes
        ready = ray.remote(_Timed).options(num_cpus=1).remote(chosen.model)
        ray.get(ready.seconds.remote(pa.table(columns).slice(0, 64)))
        inside = ray.get(ready.seconds.remote(pa.table(columns)))
        ray.shutdown()
    print(f"{chosen.pairs:,} pairs, one thread each")
    print(f"a warm worker / predict: {inside / alone:.2f}")
    print(f"a whole run with its start / predict: {whole / alone:.2f}")


def _scored(model: str, file: str) -> Any:
    return ray.data.read_parquet(file).map_batches(
        Worker,
        fn_constructor_args=(ScoreColumns(model), {}, None, None),
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )


class _Timed:
    def __init__(self, model: str) -> None:
        self._worker = Worker(ScoreColumns(model), {}, None, None)

    def seconds(self, table: pa.Table) -> float:
        """Return how long scoring a table takes."""
        began = time.perf_counter()
        self._worker(table)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
