"""Chains of real stores for this tier's tests: `make_chain({"s1": server}, database="pos")`."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from harness import Chain, fresh_warehouse
from kafka_chain import KafkaChain
from places import directory_for_servers

from tillstream.rehearsal.kafka import KafkaServers
from tillstream.rehearsal.mysql import MySQLServer

# Before any server and the JVM start: a zone that skips an hour and has one twice, and that is nobody's UTC.
os.environ["TZ"] = "America/New_York"
time.tzset()

MakeChain = Callable[..., Chain]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def make_chain(warehouse_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeChain]:
    """Chains that live as long as the module's tests; each has a warehouse of its own."""
    with ExitStack() as open_chains:

        def make(stores: Mapping[str, MySQLServer], **options: Any) -> Chain:
            url = fresh_warehouse(warehouse_url, f"chain_{os.getpid()}_{next(_numbers)}")
            chain = Chain(tmp_path_factory.mktemp("chain"), url, stores, **options)
            open_chains.callback(chain.close)
            return chain

        yield make


@pytest.fixture(scope="module")
def make_kafka_chain(
    kafka: KafkaServers, warehouse_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., KafkaChain]]:
    """The same, captured by Kafka Connect: `make_kafka_chain({"s1": server}, database="pos", workers=2)`."""
    with ExitStack() as open_chains:

        def make(stores: Mapping[str, MySQLServer], **options: Any) -> KafkaChain:
            url = options.pop("warehouse_url", None) or fresh_warehouse(
                warehouse_url, f"kafka_{os.getpid()}_{next(_numbers)}"
            )
            chain = KafkaChain(open_chains.enter_context(directory_for_servers()), url, stores, kafka=kafka, **options)
            open_chains.callback(chain.close)
            return chain

        yield make
