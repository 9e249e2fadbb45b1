"""Leaves these tests to `nox -s engines`, whose environment has Ray."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("ray") else ["test_*.py"]
