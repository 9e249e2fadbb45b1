"""What ``import pairchain`` costs over bare Python, in fresh processes; the promise is under 60 ms."""

from __future__ import annotations

import os
import subprocess
import sys

from paired import time_in_turn


def main() -> None:
    """Print the times of ``import pairchain`` against an empty program."""
    # without compiled files every import would be compiled again, which no installation does
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def run(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    for what, program in {
        "import pairchain": "import pairchain",
        "… and list all types": "import pairchain; pairchain.registry.names()",
    }.items():
        timings = time_in_turn({"ours": lambda code=program: run(code), "theirs": lambda: run("pass")}, rounds=9)
        print(f"{what:20}", timings)


if __name__ == "__main__":
    main()
