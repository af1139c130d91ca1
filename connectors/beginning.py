"""How a store's capture is to begin: the warehouse says, see sinks/engine_offsets.py."""

from typing import Protocol


class Beginning(Protocol):
    @property
    def epoch(self) -> int: ...

    @property
    def generation(self) -> int: ...

    @property
    def schema_only(self) -> bool: ...

    @property
    def reason(self) -> str: ...


class Prepare(Protocol):
    def __call__(self, store: str, *, oldest_file: int) -> Beginning: ...
