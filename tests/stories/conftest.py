"""A small chain for the stories: a real PostgreSQL, the real worker, stores whose logs were recorded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from decided import DecidedChain

Open = Callable[..., DecidedChain]
Say = Callable[..., str]


@pytest.fixture
def open_chain(tmp_path: Path, fresh_database: str) -> Iterator[Open]:
    """A chain with these policies and stores, empty and read once; noon on the first of January 2026."""
    with ExitStack() as closed:

        def open_(policies: str, *stores: str) -> DecidedChain:
            chain = closed.enter_context(closing(DecidedChain(tmp_path, fresh_database, policies, ids=stores)))
            for store in chain.stores.values():
                store.snapshot()
            chain.take_in()
            return chain

        yield open_


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """What a verb prints; it must succeed, unless `code` says otherwise."""

    def say(chain: DecidedChain, *arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert chain.tillstream(*arguments) == code
        said = capsys.readouterr()
        return said.out + said.err

    return say
