"""Recorded batches, handed over as engines do it."""

import threading
from collections.abc import Mapping

from connectors.embedded import EmbeddedLanes, hand_over
from tillstream.envelope import Resume


class RecordedEngines:
    """Hands recorded batches over as engines do: a thread per store, which waits for the warehouse each time."""

    def __init__(self, lanes: EmbeddedLanes, recorded: Mapping[str, list[bytes]]) -> None:
        self._threads = [
            threading.Thread(target=self._hand_over, args=(lanes, store, batches), daemon=True)
            for store, batches in recorded.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def exhausted(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _hand_over(self, lanes: EmbeddedLanes, store: str, batches: list[bytes]) -> None:
        resume = Resume(file="mysql-bin.000001", pos=1, in_snapshot=False, raw={})
        previous = None
        for lines in batches:
            handover = hand_over(store, 1, lines, resume)
            lanes.deliver(handover)
            if previous is not None:
                previous.wait()
            previous = handover
        if previous is not None:
            previous.wait()
