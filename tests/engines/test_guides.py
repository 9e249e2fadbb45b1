"""The guides for data engines run, in an environment with all of them: `nox -s engines`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

# the engines start processes
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests/golden/bert_seqcls_1label/model"
GUIDES = {"ray": "ray", "pyspark": "spark", "dask": "dask", "daft": "daft"}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROWS = {
    "id": list(range(8)),
    "query": ["how many people live in berlin ?"] * 8,
    "document": [f"berlin had {number} inhabitants ." for number in range(8)],
}


def test_every_guide_belongs_to_an_engine() -> None:
    assert {path.stem for path in ROOT.glob("docs/guides/engines/*.md")} == {*GUIDES.values()}
    assert any(importlib.util.find_spec(module) for module in GUIDES)


@pytest.mark.parametrize("module", [module for module in GUIDES if importlib.util.find_spec(module)])
def test_the_code_of_the_guide_runs(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if module == "pyspark" and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java 17")
    shutil.copytree(MODEL, tmp_path / "my-model")
    pyarrow.parquet.write_table(pa.table(ROWS), tmp_path / "pairs.parquet")
    monkeypatch.chdir(tmp_path)
    # Spark would start the first python3 on the path
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    page = ROOT / "docs/guides/engines" / f"{GUIDES[module]}.md"
    code = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    exec(compile(code, str(page), "exec"), {"__name__": page.stem})
