"""Chains of real stores for this tier's tests: `make_chain({"s1": server}, database="pos")`."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from harness import Chain, fresh_warehouse

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
