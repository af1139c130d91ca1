"""A shop whose clock is wrong."""

from typing import Any

from decided import agreed_right
from tea_shops import AGREED, HOUR, PHONE, later, looked_at, member, policy


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
    assert chain.rows(AGREED) == [("Wnag", 42, 1)]

    looked_at(chain, "s1", off_seconds=3 * HOUR)
    chain.take_in()
    assert chain.rows(AGREED) == [("Wang", 42, 1)]
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
    assert chain.rows(AGREED)[0][0] == "Wang Wei"
    assert chain.rows("SELECT _uncertain FROM central.members") == [(["level"],)]
    agreed_right(chain)


def test_a_fast_till_read_anew(open_chain: Any, say: Any, explains: Any) -> None:
    """What a script wrote past the log of a till whose clock is three hours fast is found by reading it anew. It is
    dated by our clock, which found it, and not set back by what the till's clock is off: another shop's edit of half an
    hour before loses. A minute later that shop's next edit wins."""
    chain = open_chain(policy(points="{rule: sum}"), "s1", "s2")
    till, other = chain.stores["s1"], chain.stores["s2"]
    till.tick(3 * HOUR)
    till.insert("members", member(1, "Wnag", 30))
    other.insert("members", member(2, "Wang", 12))
    chain.take_in()
    looked_at(chain, "s1", off_seconds=3 * HOUR)
    later(chain, HOUR)
    other.update("members", (2,), name="Wang Xiu")
    with till.unlogged():
        till.update("members", (1,), name="Wang Wei")
    later(chain, HOUR // 2)
    chain.take_in()
    say(chain, "resync", "s1", "members", "--no-wait")
    assert chain.read_anew("s1", clock=other) == {"members": (1, 1, 0)}
    assert chain.rows(AGREED) == [("Wang Wei", 42, 1)]
    explains(chain, "members", PHONE, "name", shows="""\
        members +8613800138000: stores s1 and s2 have it
        ...
        name: "Wang Wei" of store s1, changed last
          rule: latest
          store s1  row 1  "Wang Wei"  found changed 2026-01-01 13:30:00 UTC  at 000001:...  wins
          store s2  row 2  "Wang Xiu"  changed 2026-01-01 13:00:00 UTC        at 000001:...
        ...
        """)  # fmt: skip
    agreed_right(chain)

    later(chain)
    other.update("members", (2,), name="Wang Xi")
    chain.take_in()
    assert chain.rows(AGREED) == [("Wang Xi", 42, 1)]
    agreed_right(chain)
