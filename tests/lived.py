"""What happens in stores that share members, drawn at random: their tables, their policy and their histories."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fake_store import FakeStore, FakeTable, Row, column
from hypothesis import strategies as st
from own_rules import SOURCE

from conflict.policy import ColumnRule, Deletes, KeyPart, Normaliser, Policy, RuleName, TablePolicy

STORES = ("s1", "s2", "s3")
NUMBERS = ("points", "wallet", "level")  # columns of members
MEMBERS = TablePolicy(
    table="members",
    key=(KeyPart(column="phone", normaliser=Normaliser.TRIM),),
    columns=MappingProxyType(
        {
            "points": ColumnRule(rule=RuleName.SUM),
            "wallet": ColumnRule(rule=RuleName.SUM),
            "level": ColumnRule(rule=RuleName.MAX),
            "address": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s2",),)),
            "email": ColumnRule(rule=RuleName.EARLIEST),
        }
    ),
)


CHOSEN = MappingProxyType(  # each by one store's row: most keys are decided from a few of their rows
    {
        "points": ColumnRule(rule=RuleName.MAX),
        "wallet": ColumnRule(rule=RuleName.HIGHEST, order=("0", "1")),
        "level": ColumnRule(rule=RuleName.FIRST_NON_NULL, ranks=(("s2",),)),
        "address": ColumnRule(rule=RuleName.PRIORITY, ranks=(("s2", "s3"),)),
        "email": ColumnRule(rule=RuleName.EARLIEST),
    }
)


OPENING_US = 1_700_000_004_000_000  # while the stores of the histories below live
DAY_US = 86_400_000_000
OPENINGS_US = (OPENING_US, OPENING_US - DAY_US, OPENING_US - 20 * DAY_US)  # up to which changes are kept, or the first
CHANGES = MappingProxyType(  # what they changed since
    {
        "points": ColumnRule(rule=RuleName.SUM_OF_CHANGES, opening_us=OPENINGS_US[1]),
        "wallet": ColumnRule(rule=RuleName.SUM_OF_CHANGES, opening_us=OPENINGS_US[0]),
        "level": ColumnRule(
            rule=RuleName.PRIORITY,
            ranks=(("s3",),),
            then=ColumnRule(rule=RuleName.SUM_OF_CHANGES, opening_us=OPENINGS_US[2]),
        ),
        "email": ColumnRule(rule=RuleName.EARLIEST),
    }
)


def policy_with(deletes: Deletes = Deletes.LATEST, columns: Mapping[str, ColumnRule] = MEMBERS.columns) -> Policy:
    members = TablePolicy(table="members", key=MEMBERS.key, columns=columns, deletes=deletes)
    return Policy(version=1, tables=MappingProxyType({"members": members}), fingerprint="one", source=SOURCE)


POLICY = policy_with()


def new_tables(policy: Policy = POLICY) -> list[FakeTable]:
    text = {"length": 40, "charset_name": "utf8mb4"}
    members = [
        column("id", "INT", optional=False),
        column("phone", "VARCHAR", **text),
        column("name", "VARCHAR", **text),
        column("address", "VARCHAR", **text),
        column("email", "VARCHAR", **text),
        column("points", "INT"),
        column("wallet", "DECIMAL", length=40, scale=20),
        column("level", "INT"),
    ]
    sales = [
        column("till", "INT", optional=False),
        column("number", "INT", optional=False),
        column("total", "DECIMAL", length=12, scale=2),
        column("note", "VARCHAR", **text),
    ]
    notes = [column("text", "VARCHAR", **text), column("amount", "INT")]
    return [
        FakeTable("members", members, ("id",), policy.tables["members"]),
        FakeTable("sales", sales, ("till", "number")),
        FakeTable("notes", notes, ()),
    ]


# --- what happens in the stores ---------------------------------------------------------------------------

Act = tuple[str, int, int, int]  # (what, which row, which value, seconds the store's clock moves first)
EVENTS = ["insert", "update", "update", "update", "delete", "move", "rekey", "sale", "resale", "unsale",
          "note", "renote", "unnote", "batch"]  # fmt: skip
CONTROL = ["truncate", "truncate_sales", "add", "add_null", "drop", "widen", "snapshot", "gap", "rotate", "heartbeat"]
acts = st.tuples(
    st.sampled_from([*EVENTS, *EVENTS, *EVENTS, *CONTROL]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from([0, 0, 1, 2, -3]),
)
histories = st.lists(acts, min_size=4, max_size=22)
RESET: Act = ("reset", 1, 2, 1)
long_histories = st.builds(  # in which the log may begin anew, once or twice
    lambda *parts: [each for part in parts for each in part],
    histories, st.sampled_from([[], [], [RESET]]), st.lists(acts, max_size=8), st.sampled_from([[], [], [], [RESET]]),
)  # fmt: skip
WORDS = ("", "a", "b", None)


def lived(
    name: str,
    history: Sequence[Act],
    *,
    compressed: bool = False,
    policy: Policy = POLICY,
    interrupted: bool = True,
    members: int = 2,
) -> FakeStore:
    """A store after that history, with so many members before it, of whom from the third on each has another name in
    each store; its first snapshot was interrupted once, or not."""
    store = FakeStore(name, new_tables(policy), compressed=compressed)
    firsts = [member(number, number) for number in range(members)]
    store.insert("members", *firsts[:2], *({**each, "name": name} for each in firsts[2:]))
    store.insert("notes", *({"text": "twice", "amount": 1} for _ in range(2)))
    if interrupted:
        store.snapshot(stop_after=1)
        act(store, ("update", 0, 2, 1))
    store.snapshot()
    for number in range(0, len(history), 3):
        plain = [each for each in history[number : number + 3] if each[0] in EVENTS]
        store.transaction(*(lambda each=each: act(store, each) for each in plain))
        for each in history[number : number + 3]:
            if each[0] not in EVENTS:
                act(store, each)
    return store


def member(number: int, value: int) -> Row:
    return {
        "id": number,
        "phone": f" p{value} ",
        "name": f"n{value}",
        "address": WORDS[value],
        "email": WORDS[3 - value],
        "points": value,
        "wallet": f"{value}.{value:020d}",
        "level": None if value == 3 else value,
    }


def act(store: FakeStore, one: Act) -> None:
    what, number, value, seconds = one
    store.tick(seconds)
    members = sorted(store.tables["members"].rows)
    key = members[number % len(members)] if members else None
    if what == "insert" and (number,) not in members:
        store.insert("members", member(number, value))
    elif what == "batch":
        rows = [member(each, value) for each in range(number, 6) if (each,) not in members]
        if rows:
            store.insert("members", *rows)
    elif what == "truncate":
        store.truncate("members")
    elif what == "truncate_sales":
        store.truncate("sales")
    elif what == "widen":
        store.widen_column("members", ("points", "level")[value % 2], "BIGINT")
    elif what in ("add", "add_null", "drop"):
        alter(store, what, value)
    elif what == "snapshot":
        store.snapshot()
    elif what == "gap":
        store.stop_listening()
        act(store, ("update", number, value, 1))
        act(store, ("delete", number + 1, value, 1))
        store.snapshot()
    elif what == "reset":
        store.stop_listening()
        act(store, ("update", number, value, 1))
        act(store, ("delete", number + 1, value, 1))
        store.reset_log()
        store.snapshot()
    elif what == "rotate":
        store.rotate()
    elif what == "heartbeat":
        store.heartbeat()
    elif what in ("sale", "resale", "unsale", "note", "renote", "unnote"):
        act_elsewhere(store, what, number, value)
    elif key is not None and what in ("update", "delete", "move", "rekey"):
        change(store, what, key, number, value)


def change(store: FakeStore, what: str, key: Any, number: int, value: int) -> None:
    if what == "delete":
        store.delete("members", key)
    elif what == "move":
        store.update("members", key, id=10 + number, points=value)
    elif what == "rekey":
        store.update("members", key, phone=None if value == 3 else f"p{value}")
    else:
        wanted = member(0, value)
        names = [("name",), ("points", "address"), ("wallet",), ("email", "name"), ("level",), ("address",)][number]
        store.update("members", key, **{name: wanted[name] for name in names})


def alter(store: FakeStore, what: str, value: int) -> None:
    name = "extra" if value % 2 else "bonus"
    present = store.tables["members"].names
    if what == "drop" and name in present:
        store.drop_column("members", name)
    elif what == "add" and name not in present:
        store.add_column("members", column(name, "INT", default_value_expression=str(value)))
    elif what == "add_null" and name not in present:
        store.add_column("members", column(name, "INT"))


def act_elsewhere(store: FakeStore, what: str, number: int, value: int) -> None:
    sales, notes = store.tables["sales"].rows, store.tables["notes"].rows
    if what == "sale" and (number, value) not in sales:
        store.insert("sales", {"till": number, "number": value, "total": f"{value}.10", "note": WORDS[value]})
    elif what == "note":
        store.insert("notes", {"text": WORDS[value], "amount": value})
    elif what in ("resale", "unsale") and sales:
        key = sorted(sales)[number % len(sales)]
        if what == "unsale":
            store.delete("sales", key)
        else:
            store.update("sales", key, note=WORDS[value], till=key[0] + 20 * (number == 5))
    elif what in ("renote", "unnote") and notes:
        key = sorted(notes)[number % len(notes)]
        if what == "unnote":
            store.delete("notes", key)
        else:
            store.update("notes", key, amount=value)
