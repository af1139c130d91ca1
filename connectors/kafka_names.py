"""What things of ours are called in Kafka and Kafka Connect: all begin with the installation's prefix."""

import re
from dataclasses import dataclass

from tillstream.config import KafkaCapture


@dataclass(frozen=True, slots=True)
class KafkaNames:
    """Two installations on one Kafka have two prefixes, or workers of the one would take lanes of the other."""

    prefix: str

    @property
    def group(self) -> str:
        return self.prefix

    @property
    def lanes(self) -> str:
        """The driver's regular expression for all lanes, of stores that are added later, too."""
        return rf"^{self.prefix}\.lane\.[a-z0-9_]+$"

    def lane(self, store: str) -> str:
        return f"{self.prefix}.lane.{store}"

    def store_of(self, lane: str) -> str:
        return lane.removeprefix(f"{self.prefix}.lane.")

    def history(self, store: str, generation: int) -> str:
        """A connector that begins anew has one of its own: a history describes tables as of one offset."""
        return f"{self.prefix}.history.{store}.{generation}"

    def is_history(self, topic: str) -> bool:
        return topic.startswith(f"{self.prefix}.history.")

    def parse_topic(self, topic: str) -> str | None:
        """Whose lane or history it is; None for a topic that is none of ours."""
        found = re.fullmatch(rf"{re.escape(self.prefix)}\.(?:lane\.([a-z0-9_]+)|history\.([a-z0-9_]+)\.[0-9]+)", topic)
        return (found[1] or found[2]) if found else None

    def connector(self, store: str, generation: int) -> str:
        """One that begins anew is another connector: Connect keeps offsets by name."""
        return f"{self.prefix}.{store}.{generation}"

    def parse_connector(self, name: str) -> tuple[str, int] | None:
        """(store, generation); None for a connector that is none of ours."""
        found = re.fullmatch(rf"{self.prefix}\.([a-z0-9_]+)\.([0-9]+)", name)
        return (found[1], int(found[2])) if found else None


def names_of(capture: KafkaCapture) -> KafkaNames:
    return KafkaNames(capture.prefix)
