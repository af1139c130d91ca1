"""Connectors as data, on a real Kafka Connect: `tillstream connectors`, and `run` which keeps them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kafka_chain import KafkaChain

from tillstream.commands import main
from tillstream.rehearsal.mysql import MySQLServer

MakeKafkaChain = Callable[..., KafkaChain]
SALES = "CREATE TABLE sales (id INT PRIMARY KEY, name VARCHAR(20))"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.out)
        return answer


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`tillstream connectors ...` on a chain, in this process."""

    def run(chain: KafkaChain, *arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["connectors", *arguments, "--config", str(chain.config.directory / "tillstream.yaml")])
        heard = capsys.readouterr()
        return Said(int(left.value.code or 0), heard.out, heard.err)

    return run


def test_what_tillstream_yaml_wants_is_planned_applied_and_then_there_is_nothing_to_do(
    make_kafka_chain: MakeKafkaChain, say: Callable[..., Said], mysql56: MySQLServer, mysql97: MySQLServer
) -> None:
    chain = make_kafka_chain({"a": mysql56, "b": mysql97}, database="kc_plan")
    chain.on_all(SALES, "INSERT INTO sales VALUES (1, 'tea')")
    for a in (["plan"], ["plan", "--output", "json"], ["apply"], ["apply", "--yes"], ["plan", "--exit-code"], ["apply"], ["status"], ["status", "--output", "json"]):
        s = say(chain, *a)
        print(a, s.code, s.out, s.err, sep="\n", file=open("/tmp/said.log","a"))
    assert 0
