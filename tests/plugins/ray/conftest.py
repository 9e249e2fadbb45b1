"""A cluster for all tests of Ray, which `nox -s engines` runs; without Ray, those that need none remain."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("ray") else ["test_ray_cluster.py", "test_ray_serving.py"]
if not importlib.util.find_spec("pairchain_ray"):
    # `nox -s tests` installs neither
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes with two CPUs each, all of them processes of this machine."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    assert ray.cluster_resources()["CPU"] == 4
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()
