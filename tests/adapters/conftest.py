"""Settings for the libraries under test: none of them may speak to anything outside this machine."""

from __future__ import annotations

import os

os.environ.update(
    HAYSTACK_TELEMETRY_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    LANGSMITH_TRACING="false",
    TOKENIZERS_PARALLELISM="false",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
for variable in ("HF_TOKEN", "PAIRCHAIN_PLUGINS", "PAIRCHAIN_DISABLE_PLUGINS"):
    os.environ.pop(variable, None)
