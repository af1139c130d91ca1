"""The README's examples of two stores that share members, as they stand there."""

import re
import shlex
import time
from contextlib import closing
from pathlib import Path

import pytest
from decided import DecidedChain
from shown import require_shown

from sinks.store_states import StoreStates
from tillstream.states import StoreReport, StoreState

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+) two-stores\n(.*?)^```$", re.MULTILINE | re.DOTALL)
POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns: {points: {rule: sum}}
"""


def _member(id_: int, phone: str, name: str, points: int) -> dict[str, object]:
    return {"id": id_, "phone": phone, "name": name, "points": points, "level": 1}


def test_its_blocks_do_what_it_says(
    tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command's output is the one shown after it; `...` stands for what is different each time."""
    monkeypatch.setenv("POS_PASSWORD", "x")
    monkeypatch.chdir(tmp_path)
    with closing(DecidedChain(tmp_path, fresh_database, POLICIES, ids=("s001", "s002"))) as chain:
        _fill(chain)
        _require_blocks(chain, capsys)


def _fill(chain: DecidedChain) -> None:
    first, second = chain.stores.values()
    for store in chain.stores:
        report = StoreReport(store=store, name=store, state=StoreState.LIVE, complete_at=time.monotonic() - 1.0)
        StoreStates(chain.warehouse).report(report)
    for store in (first, second):
        store.snapshot()
        store.tick(60)
    first.insert("members", _member(31, "138 0013 8000", "王维", 30), _member(32, "13800138001", "李白", 5))
    chain.take_in()
    second.tick(180)
    second.insert("members", _member(7, "+86 138-0013-8000", "王伟", 12), _member(8, "13800138010", "李白", 7))
    chain.take_in()


def _require_blocks(chain: DecidedChain, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = BLOCK.findall(README.read_text())
    assert [language for language, _ in blocks] == [
        "sh",
        "text",
        "sql",
        "sql",
        "yaml",
        "sh",
        "text",
        "sh",
        "text",
        "sh",
        "text",
        "sql",
        "sql",
    ]
    for language, text in blocks:
        if language == "yaml":
            (chain.directory / "new.yaml").write_text(text)
        elif language == "sql" and text.startswith("SELECT"):
            assert chain.rows(text)
        elif language == "sql":
            with chain.warehouse.transaction() as tx:
                tx.execute(text)
                assert tx.value("SELECT has_table_privilege('phone_support', 'desk.members', 'SELECT')")
                tx.execute("DROP OWNED BY phone_support; DROP ROLE phone_support")  # it is of the whole server
        elif language == "sh":
            assert chain.tillstream(*shlex.split(text)[1:]) == 0
        else:
            require_shown(text, capsys.readouterr().out)
