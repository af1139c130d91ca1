"""What goes wrong in a shop: a backup put back, everybody deleted, ten days in the dark, writes past the log."""

from typing import Any

from decided import agreed_right
from tea_shops import AGREED, ALL_AGREED, DAY, HOUR, KEY, PHONE, held, later, member, policy

ZHAO, LI, CHEN, SUN = "13800138002", "13800138003", "13800138004", "13800138005"


def test_a_shop_put_back_to_last_weeks_backup(open_chain: Any, say: Any, explains: Any) -> None:
    """The disk of a shop dies, and its backup is a week old. Mr Li, who joined since, is gone there, and from the
    chain; Mrs Chen joined since, too, and stays, for the other shop has her. Who was deleted since is back. What nobody
    touched is as it was, with its old times. But Mrs Wang's old name differs from what the shop had, so it counts as a
    change, made when it was found: it wins over the name that the other shop gave her in between. A quarantine from
    before the accident takes the old values out, until the shop has put them right; then it is believed again."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    broken, other = chain.stores.values()
    broken.insert("members", member(1, "Wang", 30), member(2, "Zhao", 1, phone=ZHAO), member(5, "Sun", 3, phone=SUN))
    other.insert("members", member(1, "Wang", 5))
    later(chain, HOUR)
    backup = broken.backup()
    later(chain, DAY)
    broken.update("members", (1,), name="Wang Wei", points=50)
    broken.insert("members", member(3, "Li", 7, phone=LI), member(4, "Chen", 7, phone=CHEN))
    broken.delete("members", (2,))
    later(chain, DAY)
    other.update("members", (1,), name="Wang Xiu", level=4)
    other.insert("members", member(2, "Chen", 1, phone=CHEN))
    chain.take_in()
    before = chain.rows(ALL_AGREED)
    assert before == [
        (KEY, "Wang Xiu", 55, 4),
        ("+86" + LI, "Li", 7, 1),
        ("+86" + CHEN, "Chen", 8, 1),
        ("+86" + SUN, "Sun", 3, 1),
    ]
    later(chain, 5 * DAY)

    assert chain.restore("s1", backup)["members"] == (3, 2, 2)  # rows read, mended, withdrawn
    assert held(chain, "s1") == [(1, "Wang", 30, 1), (2, "Zhao", 1, 1), (5, "Sun", 3, 1)]
    assert chain.rows(ALL_AGREED) == [
        (KEY, "Wang", 35, 4),
        ("+86" + ZHAO, "Zhao", 1, 1),
        ("+86" + CHEN, "Chen", 1, 1),
        ("+86" + SUN, "Sun", 3, 1),
    ]
    agreed_right(chain)
    explains(chain, "members", PHONE, "name", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...
        name: "Wang" of store s1, changed last
          rule: latest
          store s1  row 1  "Wang"      found changed 2026-01-08 13:00:00 UTC  at 000001:... of epoch 2  wins
          store s2  row 1  "Wang Xiu"  changed 2026-01-03 13:00:00 UTC  at 000001:...
        ...without the row of store s1 it would be "Wang Xiu" of store s2...
        """)  # fmt: skip
    explains(chain, "members", LI, shows="""\
        members +8613800138003: no central row; no store has a row under this key that counts
        ...
        store s1, row 3 does not count: withdrawn: a TRUNCATE, a DROP or a table read anew that no longer had it
        store s1: rows from before 000001:... of epoch 2 of its log do not count

        ... UTC  +8613800138003 is gone: rows of store s1 were withdrawn
        ... UTC  +8613800138003 came to be, by policy version 1: store s1
        """)  # fmt: skip

    since = ("quarantine", "add", "s1", "--since", "2026-01-08T00:00:00+00:00")
    say(chain, *since, "--yes", "--reason", "an old backup")
    chain.work()
    assert chain.rows(AGREED) == [("Wang Xiu", 5, 4)], "when the points were counted nobody knows: they are left out"
    agreed_right(chain)

    later(chain, HOUR)
    broken.update("members", (1,), name="Wang Xiu", points=50)
    broken.delete("members", (2,))
    broken.insert("members", member(3, "Li", 7, phone=LI), member(4, "Chen", 7, phone=CHEN))
    chain.take_in()
    say(chain, "quarantine", "lift", "1")
    chain.work()
    assert chain.rows(ALL_AGREED) == before
    agreed_right(chain)


def test_read_anew_in_the_middle_of_a_contest(open_chain: Any, say: Any, explains: Any) -> None:
    """Two shops give Mrs Wang another name within minutes, and just then the first is read anew, for a script had
    written past its log. Its name does not look younger for being read again: the other's stands, contested once. What
    a till changes between the reading and its arrival counts; what the script had done is found."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    scripted, other = chain.stores.values()
    scripted.insert("members", member(1, "Wang", 10), member(2, "Li", 1, phone=LI), member(3, "Chen", 1, phone=CHEN))
    other.insert("members", member(1, "Wang", 5))
    later(chain, DAY)
    scripted.update("members", (1,), name="Wang Wei")
    later(chain, 240)
    other.update("members", (1,), name="Wang Xiu")
    chain.take_in()
    with scripted.unlogged():
        scripted.update("members", (2,), points=100)
        scripted.delete("members", (3,))
        scripted.insert("members", member(4, "Sun", 3, phone=SUN))
    later(chain)
    say(chain, "resync", "s1", "members", "--no-wait")

    def at_the_till() -> None:
        scripted.update("members", (1,), level=2, points=11)
        scripted.update("members", (2,), points=101)

    assert chain.read_anew("s1", meanwhile=at_the_till) == {"members": (3, 1, 1)}
    assert held(chain, "s1") == [(1, "Wang Wei", 11, 2), (2, "Li", 101, 1), (4, "Sun", 3, 1)]
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang Xiu", 16, 2), ("+86" + LI, "Li", 101, 1), ("+86" + SUN, "Sun", 3, 1)]
    assert chain.rows("SELECT column_name, winner FROM tillstream.conflicts") == [("name", "s2")]
    explains(chain, "members", PHONE, "name", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...
        name: "Wang Xiu" of store s2, changed last (contested)
          rule: latest
          store s2  row 1  "Wang Xiu"  changed 2026-01-02 12:04:00 UTC  at 000001:...  wins
          store s1  row 1  "Wang Wei"  changed 2026-01-02 12:00:00 UTC  at 000001:...
        ...
        contest of ... about name: "Wang Xiu" of store s2 won over "Wang Wei" of store s1, changed last (latest)

        ... UTC  +8613800138000 came to be, by policy version 1: store s1, s2
        """)  # fmt: skip
    agreed_right(chain)


def test_a_mass_delete_by_mistake(open_chain: Any, say: Any, explains: Any) -> None:
    """A clerk empties the members of one shop. With `deletes: latest` they are gone from the chain. The shop is put in
    quarantine from before the mistake, after a look at what that would change; everybody is back. Once the shop is
    restored from its own backup it is believed again, and no trace is left."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    emptied = chain.stores["s2"]
    people = [member(n, f"m{n}", 1, phone=f"1380013{n:04d}") for n in range(1, 21)]
    for store in chain.stores.values():
        store.insert("members", *people)
        store.tick(60)
    chain.take_in()
    before, had = chain.rows(ALL_AGREED), held(chain, "s2")
    assert (len(before), len(had)) == (20, 20)
    later(chain, HOUR)
    for each in people:
        emptied.delete("members", (each["id"],))
    chain.take_in()
    assert chain.rows(ALL_AGREED) == []
    assert len(held(chain, "s1")) == 20, "in the other shop nobody is gone"
    first = people[0]["phone"]
    explains(chain, "members", first, shows="""\
        members +8613800130001: no central row; store s2 deleted it, at 2026-01-01 13:01:00 UTC, after all changes in
        the stores that have it (deletes: latest)
        ...
        store s2 deleted its row 1, at 2026-01-01 13:01:00 UTC

        ... UTC  +8613800130001 is gone: store s2
        ... UTC  +8613800130001 came to be, by policy version 1: store s1, s2
        """)  # fmt: skip

    since = ("quarantine", "add", "s2", "--since", "2026-01-01T12:30:00+00:00")
    assert "0 rows go, 20 come back" in say(chain, *since, code=1)
    assert chain.rows(ALL_AGREED) == [], "nobody has agreed to it yet"
    say(chain, *since, "--yes", "--reason", "emptied by mistake")
    chain.work()
    assert chain.rows(ALL_AGREED) == before
    assert held(chain, "s2") == [], "what the shop has is not touched"
    agreed_right(chain)

    later(chain, HOUR)
    emptied.insert("members", *people)
    chain.take_in()
    say(chain, "quarantine", "lift", "1")
    chain.work()
    assert chain.rows(ALL_AGREED) == before
    assert held(chain, "s2") == had
    agreed_right(chain)


def test_a_shop_back_after_ten_days(open_chain: Any, explains: Any) -> None:
    """A shop's line was cut for ten days; it sold on. Its old edit of a name does not undo the newer one of another
    shop, its new members come in, its points count; the log that it kept is read in its order."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    lit, dark = chain.stores.values()
    lit.insert("members", member(1, "Wang", 10))
    dark.insert("members", member(2, "Wang", 5))
    chain.take_in()
    later(chain, HOUR)
    dark.update("members", (2,), name="Wong", points=8)
    dark.insert("members", member(3, "Li", 1, phone=LI))
    later(chain, 9 * DAY)
    lit.update("members", (1,), name="Wang Wei")
    chain.take_in(["s1"])
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang Wei", 15, 1)]
    later(chain, DAY)
    dark.update("members", (2,), level=3)

    chain.take_in(["s2"])
    assert held(chain, "s2") == [(2, "Wong", 8, 3), (3, "Li", 1, 1)]
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang Wei", 18, 3), ("+86" + LI, "Li", 1, 1)]
    assert chain.rows("SELECT FROM tillstream.conflicts") == [], "nine days apart is no contest"
    explains(chain, "members", PHONE, "name", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...
        name: "Wang Wei" of store s1, changed last
          rule: latest
          store s1  row 1  "Wang Wei"  changed 2026-01-10 13:00:00 UTC  at 000001:...  wins
          store s2  row 2  "Wong"      changed 2026-01-01 13:00:00 UTC  at 000001:...
        ...
        """)  # fmt: skip
    agreed_right(chain)
