"""Every flag is one of the server's, and all deployments agree on them."""

import re

import pytest

from tests.serving.deployment.facts import CHANNEL_ARGUMENTS, FLAGS
from tests.serving.deployment.files import (
    KUBERNETES,
    SETTINGS,
    base,
    compose,
    container_of,
    documents,
    flags_of,
    one,
)

# What only many pods need, and what only one of them can know.
CLUSTER_ONLY = {"grpc_channel_arguments"}


def default(value):
    """A value of the compose file where no variable is set."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)


def compose_flags():
    command = compose()["services"]["serving"]["command"]
    return {name: default(value) for name, value in flags_of(command).items()}


def cluster_flags():
    return flags_of(container_of(one(base(), "Deployment"))["args"])


def tls_flags():
    patch = documents(KUBERNETES / "components/tls/server_flag.yaml")[0]
    return flags_of([each["value"] for each in patch])


@pytest.mark.parametrize("flags", [compose_flags, cluster_flags, tls_flags])
def test_flags_exist_and_have_values_of_their_type(flags):
    for name, value in flags().items():
        kind = FLAGS[name]
        if kind is bool:
            assert value in ("true", "false")
        else:
            kind(value)


def test_compose_and_cluster_start_the_server_alike():
    cluster = cluster_flags()
    assert set(cluster) - set(compose_flags()) == CLUSTER_ONLY
    assert compose_flags() == {k: v for k, v in cluster.items() if k not in CLUSTER_ONLY}


def test_channel_arguments_are_those_of_grpc():
    pairs = [pair.split("=") for pair in cluster_flags()["grpc_channel_arguments"].split(",")]
    assert {name for name, _ in pairs} == CHANNEL_ARGUMENTS
    assert all(int(value) > 0 for _, value in pairs)


def test_named_files_are_mounted():
    for name, value in (compose_flags() | cluster_flags()).items():
        if name.endswith("_file"):
            assert value.startswith("/config/")
            assert (SETTINGS / value.removeprefix("/config/")).is_file()


def test_threads_of_the_graph_are_the_cores_of_the_container():
    deployment = one(base(), "Deployment")
    cores = container_of(deployment)["resources"]["limits"]["cpu"]
    flags = cluster_flags()
    assert flags["tensorflow_intra_op_parallelism"] == cores
    assert flags["tensorflow_inter_op_parallelism"] == cores
    assert default(compose()["services"]["serving"]["cpus"]) == cores
    batching = (SETTINGS / "batching.config").read_text(encoding="utf-8")
    assert f"num_batch_threads {{ value: {cores} }}" in batching


def test_more_requests_may_be_open_than_one_batch_holds():
    # Each open request keeps a thread; the batching guide advises twice the batch size.
    batching = (SETTINGS / "batching.config").read_text(encoding="utf-8")
    size = int(re.search(r"max_(?:execution_)?batch_size \{ value: (\d+)", batching)[1])
    assert int(cluster_flags()["grpc_max_threads"]) >= 2 * size
