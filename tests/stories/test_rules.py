"""A rule is changed by a person, and turns out to have been a bad idea."""

from typing import Any

from decided import agreed_right
from tea_shops import AGREED, KEY, PHONE, held, member, policy

GREATEST = (
    policy(level="{rule: max}").replace("version: 1", "version: 2")
    + """\
tests:
  - name: the greatest counts
    given:
      members:
        - {store: s1, phone: "13800138000", level: 2}
        - {store: s2, phone: "13800138000", level: 5}
    expect: {members: [{phone: "+8613800138000", level: 5}]}
"""
)


def test_a_rule_changed_and_rolled_back(open_chain: Any, say: Any, explains: Any) -> None:
    """An engineer thinks that the greatest level should count. The policy's own test and the trial say what would
    change; it is applied, the shops complain, and it is gone back from: all is as before, and the history says who and
    why. What the shops have was never touched."""
    chain = open_chain(policy(level="{rule: min}"), "s1", "s2")
    chain.stores["s1"].insert("members", member(1, "Wang", 1, 2))
    chain.stores["s2"].insert("members", member(2, "Wang", 1, 5))
    chain.take_in()
    assert chain.rows(AGREED) == [("Wang", 1, 2)]

    (chain.directory / "policies.yaml").write_text(GREATEST)
    assert "1 test, none failed" in say(chain, "policy", "test")
    told = say(chain, "policy", "diff")
    assert "level (min -> max): 1 value" in told
    assert f'{KEY}: "2" -> "5"' in told
    assert chain.rows(AGREED) == [("Wang", 1, 2)], "a trial writes nothing"

    assert "in force" in say(chain, "policy", "apply", "--yes", "--reason", "marketing")
    chain.take_up()
    assert chain.rows(AGREED) == [("Wang", 1, 5)]
    explains(chain, "members", PHONE, "level", shows="""\
        members +8613800138000: stores s1 and s2 have it
        policy version 2, in force since ... UTC

        level: 5 of store s2, the greatest
          rule: max
        ...
        """)  # fmt: skip
    agreed_right(chain)

    say(chain, "policy", "rollback", "--yes", "--reason", "the shops")
    chain.take_up()
    assert chain.rows(AGREED) == [("Wang", 1, 2)]
    assert (held(chain, "s1"), held(chain, "s2")) == ([(1, "Wang", 1, 2)], [(2, "Wang", 1, 5)])
    history = say(chain, "policy", "history")
    for word in ("marketing", "gone back to", "the shops"):
        assert word in history
    agreed_right(chain)
