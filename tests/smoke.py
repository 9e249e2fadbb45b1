"""Use the installed wheels as a stranger would, from another directory: ``python -I smoke.py GOLDEN``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORT_IS_LIGHT = (
    "import sys, pairchain; "
    "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules); "
    "assert not heavy, f'import pairchain brings {heavy}'"
)
LOAD_AND_SCORE = (
    "import sys, pairchain; "
    "model = pairchain.CrossEncoder(sys.argv[1], device='cpu', trust_remote_code=sys.argv[2] == 'True'); "
    "print(model.predict(('a man is eating', 'a man eats')).item())"
)
# the last one's code is written for sentence-transformers, which no wheel brings
CASES = ("bert_seqcls_1label", "chain_normalize_layernorm_dense", "gpt2_causal_no_padside", "custom_temperature_module")
STANDARD = ("Dense", "LayerNorm", "LogitScore", "Normalize", "Pooling", "Router", "Transformer")


def main(golden: Path) -> None:
    """Check what an installation must do; raises if it does not."""
    python = [sys.executable, "-I", "-c"]
    subprocess.run([*python, IMPORT_IS_LIGHT], check=True)

    import numpy as np

    import pairchain

    home = Path(pairchain.__file__)
    assert "site-packages" in home.parts, f"pairchain comes from {home}, not from a wheel"
    assert (home.parent / "py.typed").is_file()
    names = pairchain.registry.names()
    assert set(STANDARD) <= set(names), f"entry points are missing: {sorted(set(STANDARD) - set(names))}"
    for name in names:
        assert pairchain.registry.load(name).__name__ in STANDARD

    for case in CASES:
        call = json.loads((golden / case / "golden.json").read_text())["calls"][0]
        trust = case.startswith("custom")
        model = pairchain.CrossEncoder(golden / case / "model", device="cpu", trust_remote_code=trust)
        # that library gives a custom head's one score an axis of its own
        difference = abs(model.predict(call["inputs"]) - np.ravel(call["expected"])).max()
        assert difference < 2e-5, f"{case} differs by {difference}"
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            pair = ("a man is eating", "a man eats")
            command = [*python, LOAD_AND_SCORE, folder, str(trust)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            assert abs(float(printed) - model.predict(pair).item()) < 1e-5
        print(f"{case}: scored, saved, loaded in a fresh process; {model.origins['0']}")
    subprocess.run([*python[:2], "-m", "pairchain_cli", "plugins", "doctor"], check=True)
    print(f"wheels work: {len(names)} type strings from {home.parent.parent}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
