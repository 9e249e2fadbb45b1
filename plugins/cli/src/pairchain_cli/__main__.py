"""`python -m pairchain_cli`: runs the command if its script is not on the path."""

from __future__ import annotations

from pairchain_cli.main import main

# worker processes import this file too
if __name__ == "__main__":
    main()
