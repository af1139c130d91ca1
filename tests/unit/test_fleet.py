"""What the fleet makes of a file that changes while the warehouse is away."""

import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from tillstream.config import Store, load_config
from tillstream.errors import UnreachableError
from tillstream.fleet import Fleet

ENTRY = "  - {{id: {0}, host: localhost, port: {1}, user: u, password: {{env: P}}, database: d}}\n"


def test_who_counts_stores_hears_of_a_change_once_the_warehouse_answers(tmp_path: Path) -> None:
    """A store that was taken out of the file meanwhile does not hold up the chain until `run` starts anew."""
    file = tmp_path / "tillstream.yaml"
    file.write_text("stores:\n" + ENTRY.format("s1", 3306) + ENTRY.format("s2", 3307))
    heard: list[list[str]] = []
    done = threading.Event()

    def on_stores(stores: Sequence[Store]) -> None:
        heard.append([store.id for store in stores])
        if len(heard) == 1:
            raise UnreachableError("the warehouse did not answer")
        done.set()

    resting = SimpleNamespace(paused=frozenset({"s1", "s2"}), retired=frozenset())
    fleet = Fleet(load_config(file), lambda *given: SimpleNamespace(), lambda: resting, lambda report: None, on_stores)  # type: ignore[arg-type,return-value]
    file.write_text("stores:\n" + ENTRY.format("s1", 3306))
    fleet.start()
    fleet.look_now()
    try:
        assert done.wait(10)
    finally:
        fleet.stop()
    assert heard == [["s1"], ["s1"]]
