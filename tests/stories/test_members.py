"""One person in several shops: who she is, what she has, and who may say so."""

from typing import Any

from decided import agreed_right
from shown import require_shown
from tea_shops import AGREED, ALL_AGREED, DAY, KEY, PHONE, held, later, member, policy

SLIP = "13800138001"


def test_one_phone_in_two_shops(open_chain: Any, explains: Any) -> None:
    """Mrs Wang is a member in two shops, under two ids and two spellings of her phone. One shop corrects her name, the
    other raises her level. She is one member with both edits and the points of both shops; each shop's row is its own
    as before."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    one, two = chain.stores.values()
    one.insert("members", member(7, "Wang", 30, phone="138 0013 8000"))
    later(chain)
    two.insert("members", member(41, "Wang", 12, phone="+86 138-0013-8000"))
    later(chain, DAY)
    one.update("members", (7,), name="Wang Wei")
    later(chain)
    two.update("members", (41,), level=3)
    chain.take_in()
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang Wei", 42, 3)]
    assert (held(chain, "s1"), held(chain, "s2")) == ([(7, "Wang Wei", 30, 1)], [(41, "Wang", 12, 3)])
    assert chain.rows("SELECT _store, _pk FROM central.members_ids ORDER BY 1") == [("s1", "7"), ("s2", "41")]
    explains(chain, "members", PHONE, shows="""\
        members +8613800138000: stores s1 and s2 have it
        policy version 1, in force since ... UTC

        name: "Wang Wei" of store s1, changed last
          rule: latest
          store s1  row 7   "Wang Wei"  changed 2026-01-02 12:01:00 UTC  at 000001:...  wins
          store s2  row 41  "Wang"      changed 2026-01-01 12:01:00 UTC  at 000001:...
        ...
        points: 42, sum over stores
          rule: sum
          store s1  row 7   30  ...
          store s2  row 41  12  ...
        ...
        level: 3 of store s2, changed last
        ...
        """)  # fmt: skip
    agreed_right(chain)


def test_a_gift_card_redeemed_twice(open_chain: Any, explains: Any) -> None:
    """A card worth 100 is known in two shops. The second is dark when the first redeems it, and redeems 60 of it again.
    By `latest` the card is worth what the second shop left, and a person sees that two shops changed one card within
    minutes, who won and who lost. Nothing of what each shop sold is lost."""
    chain = open_chain(policy(points="{rule: latest}"), "s1", "s2")
    lit, dark = chain.stores.values()
    lit.insert("members", member(1, "card", 100))
    dark.insert("members", member(2, "card", 100))
    chain.take_in()
    later(chain, DAY)
    lit.update("members", (1,), points=0)
    later(chain, 240)
    dark.update("members", (2,), points=40)
    chain.take_in(["s1"])
    assert chain.rows(AGREED) == [("card", 0, 1)]
    chain.take_in(["s2"])
    assert chain.rows(AGREED) == [("card", 40, 1)]
    assert (held(chain, "s1"), held(chain, "s2")) == ([(1, "card", 0, 1)], [(2, "card", 40, 1)])
    assert chain.rows("SELECT _contested FROM central.members") == [(["points"],)]
    explains(chain, "members", PHONE, "points", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...
        points: 40 of store s2, changed last (contested)
          rule: latest
          store s2  row 2  40  changed 2026-01-02 12:04:00 UTC  at 000001:...  wins
          store s1  row 1  0   changed 2026-01-02 12:00:00 UTC  at 000001:...
        ...without the row of store s2 it would be 0 of store s1

        contest of ... about points: "40" of store s2 won over "0" of store s1, changed last (latest)

        ... UTC  points was "0" of store s1, became "40" of store s2: store s2
        ... UTC  points was "100" of store s2, became "0" of store s1: store s1
        ... UTC  +8613800138000 came to be, by policy version 1: store s1, s2
        """)  # fmt: skip
    agreed_right(chain)


def test_a_gift_card_whose_shops_each_hold_their_part(open_chain: Any, explains: Any) -> None:
    """The same card, but each shop holds the 50 that were paid in there. What was redeemed in the dark is taken off
    once, whichever shop is heard first, and there is nothing to contest: by `sum` no shop's value stands against
    another's."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    lit, dark = chain.stores.values()
    lit.insert("members", member(1, "card", 50))
    dark.insert("members", member(2, "card", 50))
    chain.take_in()
    later(chain, DAY)
    lit.update("members", (1,), points=0)
    later(chain, 240)
    dark.update("members", (2,), points=20)
    chain.take_in(["s1"])
    assert chain.rows(AGREED) == [("card", 50, 1)]
    chain.take_in(["s2"])
    assert chain.rows(AGREED) == [("card", 20, 1)]
    assert (held(chain, "s1"), held(chain, "s2")) == ([(1, "card", 0, 1)], [(2, "card", 20, 1)])
    assert chain.rows("SELECT FROM tillstream.conflicts") == []
    explains(chain, "members", PHONE, "points", shows="""\
        ...
        points: 20, sum over stores
          rule: sum
          store s1  row 1  0   ...
          store s2  row 2  20  ...
          what would flip it: every store's value is part of it: any change of one changes it

          ... UTC  points was "50", became "20": store s2
          ... UTC  points was "100", became "50": store s1
          ...
        """)  # fmt: skip
    agreed_right(chain)


def test_a_gift_card_that_a_person_decides(open_chain: Any, say: Any, explains: Any) -> None:
    """The same card once more, by `review`: until somebody has looked, the least counts, so that nothing is given away.
    A person sees both balances and says that the card is empty. That stands when a shop is read anew, and is asked
    again as soon as a shop has another balance than the person saw."""
    chain = open_chain(policy(points="{rule: review, then: min}"), "s1", "s2")
    lit, dark = chain.stores.values()
    lit.insert("members", member(1, "card", 100))
    dark.insert("members", member(2, "card", 100))
    chain.take_in()
    assert say(chain, "reviews", "list") == "nothing waits to be decided by a person\n"
    lit.update("members", (1,), points=30)
    dark.update("members", (2,), points=40)
    chain.take_in()
    assert chain.rows(AGREED) == [("card", 30, 1)]
    require_shown('1  members +8613800138000 points: stores s1, s2 differ, "30" meanwhile; since ... UTC\n',
                  say(chain, "reviews", "list"))  # fmt: skip

    say(chain, "reviews", "decide", "1", "--value", "0", "--reason", "redeemed twice")
    chain.work()
    say(chain, "resync", "s2", "members", "--no-wait")
    assert chain.read_anew("s2") == {"members": (1, 0, 0)}
    assert chain.rows(AGREED) == [("card", 0, 1)]
    assert (held(chain, "s1"), held(chain, "s2")) == ([(1, "card", 30, 1)], [(2, "card", 40, 1)])
    explains(chain, "members", PHONE, "points", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...
        points: ..., decided by ...: redeemed twice
          rule: review, then min
          store s1  row 1  30  ...
          store s2  row 2  40  ...
          what would flip it: another decision, or `tillstream reviews reopen`, or another value in a store
        ...
        """)  # fmt: skip
    agreed_right(chain)

    later(chain, DAY)
    dark.update("members", (2,), points=140)
    chain.take_in()
    assert chain.rows(AGREED) == [("card", 30, 1)]
    assert 'stores s1, s2 differ, "30" meanwhile' in say(chain, "reviews", "list")
    agreed_right(chain)


def test_a_member_merged_and_split(open_chain: Any, say: Any, explains: Any) -> None:
    """A phone with a slip of the finger made Mrs Wang two members. A person says that they are one: the points add up,
    and what the shop with the slip writes lands on her. It was her sister: one command makes two of them again, and
    what that shop wrote meanwhile goes with the sister."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(1, "Wang", 30))
    chain.stores["s2"].insert("members", member(2, "Wang", 12, phone=SLIP))
    chain.take_in()
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang", 30, 1), ("+86" + SLIP, "Wang", 12, 1)]
    say(chain, "identity", "accept", "members", PHONE, SLIP, "--reason", "a slip", "--yes")
    chain.work()
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang", 42, 1)]
    later(chain)
    chain.stores["s2"].update("members", (2,), points=20)
    chain.take_in()
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang", 50, 1)]
    assert held(chain, "s2") == [(2, "Wang", 20, 1)]
    explains(chain, "members", SLIP, "points", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...a slip...
        points: 50, sum over stores
        ...
        """)  # fmt: skip
    agreed_right(chain)
    say(chain, "identity", "undo", "1", "--reason", "her sister")
    chain.work()
    assert chain.rows(ALL_AGREED) == [(KEY, "Wang", 30, 1), ("+86" + SLIP, "Wang", 20, 1)]
    explains(chain, "members", SLIP, "points", shows="""\
        members +8613800138001: store s2 has it
        ...
        points: 20, sum over stores
        ...
        """)  # fmt: skip
    agreed_right(chain)


def test_a_phone_taken_over_and_given_back(open_chain: Any, explains: Any) -> None:
    """A shop gives Mr Li Mrs Wang's phone by mistake, and his own again the next day. In between she has his points,
    too; afterwards both are as before, and nothing of him is left on her but a note that they were at odds."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(1, "Wang", 30))
    later(chain)
    chain.stores["s2"].insert("members", member(2, "Li", 12, level=4, phone=SLIP))
    chain.take_in()
    before = chain.rows(ALL_AGREED)
    later(chain, DAY)
    chain.stores["s2"].update("members", (2,), phone=PHONE)
    chain.take_in()
    assert chain.rows("SELECT _key, name, points, _stores FROM central.members") == [(KEY, "Li", 42, ["s1", "s2"])]
    agreed_right(chain)
    later(chain, DAY)
    chain.stores["s2"].update("members", (2,), phone=SLIP)
    chain.take_in()
    assert chain.rows(ALL_AGREED) == before
    assert (held(chain, "s1"), held(chain, "s2")) == ([(1, "Wang", 30, 1)], [(2, "Li", 12, 4)])
    explains(chain, "members", PHONE, "level", shows="""\
        members +8613800138000: store s1 has it
        ...
        level: 1 of store s1, changed last
          rule: latest
          store s1  row 1  1  changed 2026-01-01 12:00:00 UTC  at 000001:...  wins
          what would flip it: only store s1 has it

        contest of ... about level: "4" of store s2 won over "1" of store s1, changed last (latest)

        ... UTC  level was "4" of store s2, became "1" of store s1: store s2
        ... UTC  level was "1" of store s1, became "4" of store s2: store s2
        ...
        """)  # fmt: skip
    agreed_right(chain)
