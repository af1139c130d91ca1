"""How the end-to-end tests call `tillstream`: its path, its environment and its files."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tillstream.cache import cache_root

TILLSTREAM = Path(sys.executable).with_name("tillstream")
PASSWORD = "till & %20 §"
# What `demo --output json` prints first, whichever way the day went.
AGREED_KEYS = [
    "schema", "seconds", "events", "applied", "latency_ms", "conflicts", "dead_letters", "resident_mb", "verify",
    "stores",
]  # fmt: skip


def environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    # named, or a test that moves TMPDIR would fetch the servers anew where there is no home
    return {**kept, "TILLSTREAM_CACHE": str(cache_root()), "POS_PASSWORD": PASSWORD, "LANG": "C.UTF-8"}


def write_config(
    directory: Path,
    warehouse_url: str,
    stores: Mapping[str, int],
    *,
    policies: str = "",
    locations: Mapping[str, tuple[float, float]] | None = None,
    attributes: Mapping[str, str] | None = None,
) -> None:
    """tillstream.yaml for stores on these ports, with the warehouse given by URL."""
    places = {store: f", location: {list(place)}" for store, place in (locations or {}).items()}
    said = {store: f", attributes: {facts}" for store, facts in (attributes or {}).items()}
    beside = {store: places.get(store, "") + said.get(store, "") for store in stores}
    entries = "".join(
        f"  - {{id: {store}, host: 127.0.0.1, port: {port}{beside[store]}}}\n" for store, port in stores.items()
    )
    policy_line = "policies: policies.yaml\n" if policies else ""
    (directory / "tillstream.yaml").write_text(
        f"warehouse: {{url: '{warehouse_url}'}}\n"
        "defaults: {user: tillstream, password: {env: POS_PASSWORD}, database: pos}\n"
        "metrics: {port: null}\n"
        f"{policy_line}stores:\n{entries}"
    )
    if policies:
        (directory / "policies.yaml").write_text(policies)
