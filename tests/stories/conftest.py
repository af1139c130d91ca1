"""A small chain for the stories: a real PostgreSQL, the real worker, stores whose logs were recorded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from decided import DecidedChain
from shown import require_shown

Open = Callable[..., DecidedChain]
Say = Callable[..., str]


@pytest.fixture
def open_chain(tmp_path: Path, fresh_database: str) -> Iterator[Open]:
    """A chain with these policies and stores, empty and read once; noon on the first of January 2026."""
    with ExitStack() as closed:

        def open_(policies: str, *stores: str, **facts: Any) -> DecidedChain:
            made = DecidedChain(tmp_path, fresh_database, policies, ids=stores, **facts)
            chain = closed.enter_context(closing(made))
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


@pytest.fixture
def explains(say: Say) -> Callable[..., None]:
    """What `explain` prints; `...` in `shows` stands for what is different each time, and for what is left out."""

    def explains(chain: DecidedChain, *asked: str, shows: str) -> None:
        require_shown(dedent(shows), say(chain, "explain", *asked))

    return explains
