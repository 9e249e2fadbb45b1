"""A report is made without torch, without the model's libraries, and without running anything of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from custom_models import head, run, save_by_hand
from golden_calls import CASES, GOLDEN
from plugin_folders import canary, install

pytestmark = pytest.mark.slow

REPORTING = """
import json, sys
import pairchain

before = set(sys.modules)
for folder in sys.argv[1:]:
    report = pairchain.inspect(folder, local_files_only=True)
    str(report), report.to_json()
    pairchain.lock(folder, None, local_files_only=True) if not report.failures else None
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(folder: Path, *models: Path, **environ: str) -> set[str]:
    """Return what is imported in a process that reports on ``models``, and locks those that load."""
    return set(json.loads(run(["-c", REPORTING, *map(str, models)], folder, is_new=True, **environ)))


def test_neither_torch_nor_transformers_nor_a_plugin_s_modules_are_imported(tmp_path: Path) -> None:
    imported = modules_after(tmp_path, *(GOLDEN / case / "model" for case in CASES))

    assert "pairchain.looking.inspection" in imported
    for library in ("torch", "numpy", "transformers", "tokenizers", "safetensors", "sentence_transformers", "PIL"):
        assert library not in imported
    for plugin in ("transformer", "dense", "pooling", "logit_score", "normalize", "layer_norm", "router"):
        assert f"pairchain_{plugin}.hooks" in imported
        assert f"pairchain_{plugin}.{plugin}" not in imported


def test_nothing_of_the_model_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    files = {"head.py": canary(ran) + head(before="import beside"), "beside.py": canary(ran), "torch.py": canary(ran)}
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], files)

    imported = modules_after(folder, folder)

    assert not ran.exists()
    assert not imported & {"head", "beside", "torch", "lengths"}


@pytest.mark.parametrize("entry_point", ["modules", "hooks"])
def test_a_plugin_that_only_provides_a_type_is_not_imported(entry_point: str, tmp_path: Path) -> None:
    ran, site = tmp_path / "ran", tmp_path / "site"
    code = {"__init__.py": canary(ran), "hooks.py": "from pairchain import hookimpl\n\n\n@hookimpl\n"}
    code["hooks.py"] += "def pairchain_inspect_module(type_name, source): raise RuntimeError('broken')\n"
    install(
        site,
        "some-head",
        modules={"some.Head": "some_head:Head"},
        hooks={"some": "some_head.hooks"} if entry_point == "hooks" else None,
        files={f"some_head/{name}": text for name, text in code.items()},
    )
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "some.Head"], {})

    modules_after(folder, folder, PYTHONPATH=str(site))

    assert ran.exists() == (entry_point == "hooks")
