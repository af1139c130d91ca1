"""What happens in a chain of tea shops: the policy, what goes wrong, what `explain` says, and what is agreed.

At the end of each the agreed rows are what the policy makes of all that the stores hold.
"""

from decimal import Decimal
from typing import Any

from decided import DecidedChain, agreed_right

from conflict.clock import Look
from sinks.clock_looks import ClockLooks

PHONE, KEY = "13800138000", "+8613800138000"
MEMBERS = f"SELECT name, points, level FROM central.members WHERE _key = '{KEY}'"
PRICES = """\
version: 1
tables:
  products: {scope: shared, key: {sku: upper}, columns: {price: {rule: priority, stores: [hq], then: latest}}}
"""
HOUR, DAY = 3_600, 86_400


def policy(**columns: str) -> str:
    rules = ", ".join(f"{name}: {rule}" for name, rule in columns.items())
    return f"version: 1\ntables:\n  members: {{scope: shared, key: {{phone: phone_cn}}, columns: {{{rules}}}}}\n"


def member(id_: int, name: str, points: int = 0, level: int = 1, phone: str = PHONE) -> dict[str, Any]:
    return {"id": id_, "phone": phone, "name": name, "points": points, "level": level}


def later(chain: DecidedChain, seconds: int = 60) -> None:
    for store in chain.stores.values():
        store.tick(seconds)


def test_one_phone_in_two_stores(open_chain: Any, say: Any) -> None:
    """Mrs Wang is a member in two shops, under two ids and two spellings of her phone. One shop corrects her name, the
    other raises her level. She is one member with both edits and the points of both shops."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(7, "Wang", 30, phone="138 0013 8000"))
    later(chain)
    chain.stores["s2"].insert("members", member(41, "Wang", 12, phone="+86 138-0013-8000"))
    later(chain, DAY)
    chain.stores["s1"].update("members", (7,), name="Wang Wei")
    later(chain)
    chain.stores["s2"].update("members", (41,), level=3)
    chain.take_in()
    assert chain.rows(MEMBERS) == [("Wang Wei", 42, 3)]
    told = say(chain, "explain", "members", PHONE)
    assert 'name: "Wang Wei" of store s1' in told
    assert "level: 3 of store s2" in told
    assert "points: 42, sum over stores" in told
    agreed_right(chain)


def test_price_at_hq_against_a_stores(open_chain: Any, say: Any) -> None:
    """HQ sells a tea at 18; a shop marks it down at night, later than HQ's last change. The chain's price is HQ's. When
    HQ takes the tea off its list the shops' last change stands, and the shop's own row was its own all along."""
    chain = open_chain(PRICES, "hq", "s1", "s2")
    for name, price in (("hq", "18.00"), ("s1", "18.00"), ("s2", "18.00")):
        chain.stores[name].insert("products", {"sku": "Tea-1", "region": None, "price": price})
        later(chain)
    chain.stores["s1"].update("products", ("Tea-1",), price="9.00")
    chain.take_in()
    price = "SELECT price FROM central.products WHERE _key = 'TEA-1'"
    assert chain.rows(price) == [(Decimal("18.00"),)]
    assert "price: 18.00 of store hq, first in the list of stores" in say(
        chain, "explain", "products", "tea-1", "price"
    )
    later(chain)
    chain.stores["s2"].update("products", ("Tea-1",), region="north")
    chain.stores["hq"].delete("products", ("Tea-1",))
    later(chain)
    chain.stores["s1"].update("products", ("Tea-1",), price="10.00")
    chain.take_in()
    assert chain.rows(price) == [(Decimal("10.00"),)]
    told = say(chain, "explain", "products", "tea-1", "price")
    assert "no row in store hq, so latest decides: changed last" in told
    assert "store hq deleted it, but it was changed since" in told
    assert chain.rows("SELECT price FROM stores.products WHERE _store = 's1'") == [(Decimal("10.00"),)]
    agreed_right(chain)


def test_a_gift_card_redeemed_twice(open_chain: Any, say: Any) -> None:
    """A card worth 100 is known in two shops. The second is dark when the first redeems it, and redeems it again. Each
    shop's own balance is what it sold; a person sees that two shops changed one card within minutes, and who won."""
    chain = open_chain(policy(points="{rule: latest}"), "s1", "s2")
    for name, id_ in (("s1", 1), ("s2", 2)):
        chain.stores[name].insert("members", member(id_, "card", 100))
    chain.take_in()
    later(chain, DAY)
    chain.stores["s1"].update("members", (1,), points=0)
    later(chain, 240)
    chain.stores["s2"].update("members", (2,), points=40)
    chain.take_in(["s1"])
    assert chain.rows(MEMBERS) == [("card", 0, 1)]
    chain.take_in(["s2"])
    assert chain.rows(MEMBERS) == [("card", 40, 1)]
    assert chain.rows("SELECT _contested FROM central.members") == [(["points"],)]
    told = say(chain, "explain", "members", PHONE, "points")
    assert "points: 40 of store s2, changed last (contested)" in told
    assert '"40" of store s2 won over "0" of store s1' in told
    assert "without the row of store s2 it would be 0 of store s1" in told
    agreed_right(chain)


def test_a_member_merged_and_split(open_chain: Any, say: Any) -> None:
    """A phone with a slip of the finger made Mrs Wang two members. A person says that they are one: the points add up,
    and what the shop with the slip writes lands on her. It was her sister: one command makes two of them again."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(1, "Wang", 30))
    chain.stores["s2"].insert("members", member(2, "Wang", 12, phone="13800138001"))
    chain.take_in()
    assert chain.rows(MEMBERS) == [("Wang", 30, 1)]
    merge = ("identity", "accept", "members", PHONE, "13800138001")
    say(chain, *merge, "--reason", "a slip", "--yes")
    chain.work()
    assert chain.rows(MEMBERS) == [("Wang", 42, 1)]
    later(chain)
    chain.stores["s2"].update("members", (2,), points=20)
    chain.take_in()
    assert chain.rows(MEMBERS) == [("Wang", 50, 1)]
    assert "a slip" in say(chain, "explain", "members", "13800138001", "points")
    agreed_right(chain)
    say(chain, "identity", "undo", "1", "--reason", "her sister")
    chain.work()
    assert chain.rows("SELECT _key, points FROM central.members ORDER BY 1") == [(KEY, 30), ("+8613800138001", 20)]
    agreed_right(chain)


def test_a_mass_delete_by_mistake(open_chain: Any, say: Any) -> None:
    """A clerk empties the members of one shop. With `deletes: latest` they are gone from the chain. The shop is put in
    quarantine from before the mistake, after a look at what that would change; everybody is back. Once the shop is
    restored from its own backup it is believed again, and no trace is left."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    people = [member(n, f"m{n}", 1, phone=f"1380013{n:04d}") for n in range(1, 21)]
    for store in chain.stores.values():
        store.insert("members", *people)
        store.tick(60)
    chain.take_in()
    before = chain.rows("SELECT _key, name, points FROM central.members ORDER BY 1")
    assert len(before) == 20
    later(chain, HOUR)
    for each in people:
        chain.stores["s2"].delete("members", (each["id"],))
    chain.take_in()
    assert chain.rows("SELECT count(*) FROM central.members") == [(0,)]
    since = ("quarantine", "add", "s2", "--since", "2026-01-01T12:30:00+00:00")
    assert "0 rows go, 20 come back" in say(chain, *since, code=1)
    say(chain, *since, "--yes", "--reason", "emptied by mistake")
    chain.work()
    assert chain.rows("SELECT _key, name, points FROM central.members ORDER BY 1") == before
    later(chain, HOUR)
    chain.stores["s2"].insert("members", *people)
    chain.take_in()
    say(chain, "quarantine", "lift", "1")
    chain.work()
    assert chain.rows("SELECT _key, name, points FROM central.members ORDER BY 1") == before
    agreed_right(chain)


def test_a_store_back_after_ten_days(open_chain: Any, say: Any) -> None:
    """A shop's line was cut for ten days; it sold on. Its old edit of a name does not undo the newer one of another
    shop, its new members come in, its points count; the log that it kept is read in its order."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(1, "Wang", 10))
    chain.stores["s2"].insert("members", member(2, "Wang", 5))
    chain.take_in()
    later(chain, HOUR)
    chain.stores["s2"].update("members", (2,), name="Wong", points=8)  # the first hour in the dark
    chain.stores["s2"].insert("members", member(3, "Li", 1, phone="13900139000"))
    later(chain, 9 * DAY)
    chain.stores["s1"].update("members", (1,), name="Wang Wei")
    chain.take_in(["s1"])
    assert chain.rows(MEMBERS) == [("Wang Wei", 15, 1)]
    later(chain, DAY)
    chain.take_in(["s2"])
    assert chain.rows(MEMBERS) == [("Wang Wei", 18, 1)]
    assert chain.rows("SELECT name FROM central.members WHERE _key = '+8613900139000'") == [("Li",)]
    told = say(chain, "explain", "members", PHONE, "name")
    assert 'name: "Wang Wei" of store s1, changed last' in told
    assert "contested" not in told, "ten days apart is no contest"
    agreed_right(chain)


def test_a_rule_changed_and_rolled_back(open_chain: Any, say: Any) -> None:
    """An engineer thinks that the greatest level should count. The policy's own test and the trial say what would
    change; it is applied, the shops complain, and it is gone back from: all is as before, and the history says who."""
    chain = open_chain(policy(level="{rule: min}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(1, "Wang", 1, 2))
    chain.stores["s2"].insert("members", member(2, "Wang", 1, 5))
    chain.take_in()
    assert chain.rows(MEMBERS) == [("Wang", 1, 2)]
    file = chain.directory / "policies.yaml"
    file.write_text(
        policy(level="{rule: max}").replace("version: 1", "version: 2")
        + "tests:\n  - name: the greatest counts\n    given: {members: [{store: s1, phone: '13800138000', level: 2},"
        " {store: s2, phone: '13800138000', level: 5}]}\n    expect: {members: [{phone: '13800138000', level: 5}]}\n"
    )
    assert "1 test, none failed" in say(chain, "policy", "test")
    told = say(chain, "policy", "diff")
    assert "level (min -> max): 1 value" in told
    assert f'{KEY}: "2" -> "5"' in told
    assert "in force" in say(chain, "policy", "apply", "--yes", "--reason", "marketing")
    chain.take_up()
    assert chain.rows(MEMBERS) == [("Wang", 1, 5)]
    say(chain, "policy", "rollback", "--yes", "--reason", "the shops")
    chain.take_up()
    assert chain.rows(MEMBERS) == [("Wang", 1, 2)]
    history = say(chain, "policy", "history")
    assert "marketing" in history
    assert "gone back to" in history
    assert "the shops" in history
    agreed_right(chain)


def test_a_clock_three_hours_fast(open_chain: Any, say: Any) -> None:
    """The battery of a till is dead and its clock three hours fast: whatever it writes seems to be the last. Once its
    clock was looked at, the correction that another shop made a minute later stands, and all that the till decided
    since then is decided again. Put right, it is believed again; what it wrote just then is told to be in doubt."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    till, other = chain.stores["s1"], chain.stores["s2"]
    till.tick(3 * HOUR)
    till.insert("members", member(1, "Wnag", 30))
    later(chain)
    other.insert("members", member(2, "Wang", 12))
    chain.take_in()
    assert chain.rows(MEMBERS) == [("Wnag", 42, 1)]

    looked_at(chain, "s1", off_seconds=3 * HOUR)
    chain.take_in()
    assert chain.rows(MEMBERS) == [("Wang", 42, 1)]
    told = say(chain, "explain", "members", PHONE, "name")
    assert 'name: "Wang" of store s2, changed last' in told
    assert "changed 2026-01-01 12:00:00 UTC (clock corrected by -10,800.0 s, ± 2.0 s)" in told
    agreed_right(chain)

    later(chain)
    till.update("members", (1,), level=2)
    other.update("members", (2,), level=3)
    till.tick(-3 * HOUR)
    chain.take_in()
    looked_at(chain, "s1", off_seconds=0)
    later(chain, HOUR)
    till.update("members", (1,), name="Wang Wei")
    chain.take_in()
    assert chain.rows(MEMBERS)[0][0] == "Wang Wei"
    assert chain.rows("SELECT _uncertain FROM central.members") == [(["level"],)]
    agreed_right(chain)


def looked_at(chain: DecidedChain, store: str, *, off_seconds: int) -> None:
    """As the probe does it, half a minute before the store's next change."""
    source = chain.stores[store].log.entries[-1].event.source
    assert source is not None
    now_us = source.ts_us - (off_seconds or 3 * HOUR) * 1_000_000
    with chain.warehouse.transaction() as tx:
        tx.execute(
            "INSERT INTO tillstream.epochs (store, epoch, reason) VALUES (%s, 1, 'a story') ON CONFLICT DO NOTHING",
            [store],
        )
    place = (1, int(source.file[-6:]), source.pos + 1)
    look = Look(
        place=place, began_us=now_us, ended_us=now_us + 30_000_000, offset_us=off_seconds * 1_000_000, uncertainty_us=0
    )
    ClockLooks(chain.warehouse).look(store, look)
