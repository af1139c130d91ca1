"""What `make bench-peers` measures, in which order, and what of it is there already."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tillstream.rehearsal.bench_peers_run import Measured

OURS, ALONE, CEILING, CEILING_ALONE = "tillstream 2", "tillstream 1", "ceiling 2", "ceiling 1"
JDBC, PATHWAY, QUIX = "jdbc", "pathway", "quix"
STORES = ("stores-1", "stores-10", "stores-100", "stores-1000", "flood")
REPETITIONS = 3
# The slow ones bring a part of it, or a run of theirs would take minutes: their rate is the same all the way.
PARTS = {QUIX: 0.25}
SHORT = "-short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run; where `workload` ends with -short, of a shorter topic."""

    workload: str
    form: str
    contender: str
    repetition: int

    @property
    def file(self) -> str:
        return f"{self.workload}-{self.form}-{self.contender}-{self.repetition}.json".replace(" ", "-")


def plan(workloads: list[str], repetitions: int = REPETITIONS) -> list[Step]:
    """The runs of a workload stand together: its topics are filled once."""
    return [step for workload in workloads for step in _steps(workload, repetitions)]


def _steps(workload: str, repetitions: int) -> Iterator[Step]:
    if workload in STORES:
        yield Step(workload=workload, form="plain", contender=OURS, repetition=1)
        if workload in ("stores-1", "stores-1000"):
            yield Step(workload=workload, form="schema", contender=JDBC, repetition=1)
        return
    same_bytes = [OURS, JDBC, PATHWAY, CEILING, QUIX]
    for repetition in range(1, (repetitions if workload == "day" else 1) + 1):
        turn = (repetition - 1) % len(same_bytes)
        for contender in same_bytes[turn:] + same_bytes[:turn]:
            name = workload + SHORT if contender in PARTS else workload
            yield Step(workload=name, form="schema", contender=contender, repetition=repetition)
        yield Step(workload=workload, form="plain", contender=OURS, repetition=repetition)
    if workload == "day":
        yield Step(workload=workload, form="plain", contender=ALONE, repetition=1)
        yield Step(workload=workload, form="plain", contender=CEILING_ALONE, repetition=1)
        yield Step(workload=workload, form="plain", contender=PATHWAY, repetition=1)
        yield Step(workload=workload + SHORT, form="plain", contender=QUIX, repetition=1)


class Kept:
    """Finished measurements, one file each: a second call goes on where the first one ended."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def has(self, step: Step) -> bool:
        return (self._directory / step.file).is_file()

    def keep(self, step: Step, measured: Measured) -> None:
        self.write(step.file, asdict(measured))

    def all(self) -> list[Measured]:
        files = sorted(self._directory.glob("*-[0-9].json"))
        return [Measured(**json.loads(file.read_text())) for file in files]

    def read(self, name: str) -> dict[str, Any] | None:
        path = self._directory / name
        return json.loads(path.read_text()) if path.is_file() else None

    def write(self, name: str, value: object) -> None:
        draft = self._directory / f"{name}.draft"
        draft.write_text(json.dumps(value, indent=1))
        draft.rename(self._directory / name)
