"""The OpenAPI description is true: schemathesis asks what it allows and what it forbids, and checks the replies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import Server
from texts import KEY


def test_every_route_answers_as_its_description_says(server: Server, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    options = {
        "--header": f"Authorization: Bearer {KEY}",
        "--max-examples": "10",
        "--phases": "fuzzing",
        "--seed": "1",
        # a body that follows the schema may have an image, which this model does not take
        "--exclude-checks": "positive_data_acceptance",
    }
    command = [str(program), "run", f"{server.url}/openapi.json", *(part for pair in options.items() for part in pair)]
    # it keeps what it found in the current folder
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout
