"""How a verb that works until it is told to stop is told."""

import signal
import threading


class Told:
    """From now on SIGTERM and Ctrl-C ask to stop, and are only noted."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self.stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    @property
    def interrupted(self) -> bool:
        """Whether it was Ctrl-C."""
        return signal.SIGINT in self._received

    def _note(self, number: int, frame: object) -> None:
        self._received.append(number)
        self.stop.set()
