"""Prepaid balances that were copied into all shops once, and that each shop has changed for itself since."""

from decimal import Decimal
from typing import Any

from decided import DecidedChain, agreed_right
from tea_shops import DAY, HOUR, PHONE, later, looked_at

BALANCE = "SELECT balance FROM central.wallets WHERE _key = '+8613800138000'"
CONTESTED = "SELECT _contested FROM central.wallets WHERE _key = '+8613800138000'"
COPIED = """\
version: 1
tables:
  wallets:
    scope: shared
    key: {phone: phone_cn}
    columns: {balance: {rule: sum_of_changes, opening: 2026-01-02, copied_by_pos: false}}
"""
LATEST = "version: 1\ntables:\n  wallets: {scope: shared, key: {phone: phone_cn}}\n"


def copied(chain: DecidedChain, *balances: str) -> None:
    """On the first of January all shops get a copy; from the second on each changes its own."""
    for number, (store, balance) in enumerate(zip(chain.stores.values(), balances, strict=True), 1):
        store.insert("wallets", {"id": number, "phone": PHONE, "balance": balance})
    later(chain, DAY)


def test_a_wallet_copied_at_opening(open_chain: Any, say: Any, explains: Any) -> None:
    """Mrs Wang has 100 on her card. In s1 she pays 30, in s2 she puts 50 on it, in s3 nothing happens: she has 120.
    The logs come twice, s2 is read anew, s1's disk is put back to the day before and it sells her a tea again: what
    each had at the opening stays what it was, and no change counts twice."""
    chain = open_chain(COPIED, "s1", "s2", "s3")
    copied(chain, "100.00", "100.00", "100.00")
    one, two, _ = chain.stores.values()
    backup = one.backup()
    one.update("wallets", (1,), balance="90.00")
    later(chain)
    two.update("wallets", (2,), balance="150.00")
    chain.take_in()
    one.update("wallets", (1,), balance="70.00")
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("120.00"),)]
    explains(chain, "wallets", PHONE, shows="""\
        wallets +8613800138000: stores s1, s2 and s3 have it
        ...
        balance: 120.00, 100.00 that 3 of 3 stores had at the opening, and what each changed since
          rule: sum_of_changes, opening: 2026-01-02 00:00:00 UTC
          store s1  row 1  70.00   -30.00 since the opening, 100.00 then  at ...
          store s2  row 2  150.00  +50.00 since the opening, 100.00 then  at ...
          store s3  row 3  100.00  +0.00 since the opening, 100.00 then   at ...
          what would flip it: every store's value is part of it: any change of one changes it
        ...
        """)  # fmt: skip
    chain.deliver_again()
    assert chain.rows(BALANCE) == [(Decimal("120.00"),)]

    later(chain, HOUR)
    with two.unlogged():
        two.update("wallets", (2,), balance="145.00")
    say(chain, "resync", "s2", "wallets", "--no-wait")
    assert chain.read_anew("s2") == {"wallets": (1, 1, 0)}
    assert chain.rows(BALANCE) == [(Decimal("115.00"),)]

    chain.restore("s1", backup)
    assert chain.rows(BALANCE) == [(Decimal("145.00"),)], "the shop has forgotten the 30"
    later(chain)
    one.update("wallets", (1,), balance="88.00")
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("133.00"),)]
    assert chain.rows(CONTESTED) == [([],)]
    agreed_right(chain)


def test_a_shop_whose_copy_was_another_one(open_chain: Any, explains: Any) -> None:
    """s3 began with 80 where two shops had 100. The base is what most had, s3's own change counts like the others', and
    that it was no copy is told; a shop that is read only later began with what it had then."""
    chain = open_chain(COPIED, "s1", "s2", "s3", "s4")
    four = chain.stores["s4"]
    four.stop_listening()
    copied(chain, "100.00", "100.00", "80.00", "100.00")
    chain.take_in()
    chain.stores["s3"].update("wallets", (3,), balance="75.00")
    four.update("wallets", (4,), balance="60.00")
    four.snapshot()
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("95.00"),)]
    four.update("wallets", (4,), balance="61.00")
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("96.00"),)]
    assert chain.rows(CONTESTED) == [(["balance"],)]
    explains(chain, "wallets", PHONE, shows="""\
        ...
        balance: 96.00, 100.00 that 2 of 4 stores had at the opening, and what each changed since (contested)
          rule: sum_of_changes, opening: 2026-01-02 00:00:00 UTC
          store s1  row 1  100.00  +0.00 since the opening, 100.00 then  ...
          store s2  row 2  100.00  +0.00 since the opening, 100.00 then  ...
          store s3  row 3  75.00   -5.00 since the opening, 80.00 then   ...
          store s4  row 4  61.00   +1.00 since the opening, 60.00 then   ...
        ...
        contest of ... about balance: "100.00" won over "80.00" of store s3, ...
        """)  # fmt: skip
    agreed_right(chain)


def test_a_fast_till_at_the_opening(open_chain: Any, explains: Any) -> None:
    """A till's clock is three hours fast. What it sells in the evening before the opening seems to come after it, until
    its clock is looked at; then that belongs to what the shop had at the opening."""
    chain = open_chain(COPIED, "s1", "s2")
    one, two = chain.stores.values()
    for number, store in enumerate((one, two)):
        store.insert("wallets", {"id": number, "phone": PHONE, "balance": "100.00"})
    later(chain, 10 * HOUR)
    one.tick(3 * HOUR)
    one.update("wallets", (0,), balance="95.00")
    one.update("wallets", (0,), balance="90.00")
    two.update("wallets", (1,), balance="90.00")
    later(chain, 15 * HOUR)
    one.update("wallets", (0,), balance="85.00")
    one.update("wallets", (0,), balance="80.00")
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("70.00"),)]
    looked_at(chain, "s1", off_seconds=3 * HOUR)
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("80.00"),)]
    explains(chain, "wallets", PHONE, shows="""        ...
        balance: 80.00, 90.00 that 2 of 2 stores had at the opening, and what each changed since
          rule: sum_of_changes, opening: 2026-01-02 00:00:00 UTC
          store s1  row 0  80.00  -10.00 since the opening, 90.00 then  ...
          store s2  row 1  90.00  +0.00 since the opening, 90.00 then   ...
        ...
        """)  # fmt: skip
    agreed_right(chain)


def test_another_rule_before(open_chain: Any, say: Any) -> None:
    """Nobody kept what shops had at an opening before the rule was in force: what each has when it comes into force
    counts as that, and both the trial and the switch say so. Gone back from and taken up again, it still knows what it
    saw changing."""
    chain = open_chain(LATEST, "s1", "s2")
    copied(chain, "100.00", "100.00")
    one, two = chain.stores.values()
    one.update("wallets", (1,), balance="70.00")
    chain.take_in()
    (chain.directory / "policies.yaml").write_text(COPIED.replace("version: 1", "version: 2"))
    told = say(chain, "policy", "diff")
    assert "balance: what stores had on 2026-01-02 00:00:00 UTC is not kept by the policies in force" in told
    assert "is not kept by the policies in force" in say(chain, "policy", "apply", code=1)
    say(chain, "policy", "apply", "--yes")
    chain.take_up()
    assert chain.rows(BALANCE) == [(Decimal("70.00"),)], "the least of what as many had"
    assert chain.rows(CONTESTED) == [(["balance"],)]
    two.update("wallets", (2,), balance="60.00")
    chain.take_in()
    assert chain.rows(BALANCE) == [(Decimal("30.00"),)]

    say(chain, "policy", "rollback", "--yes")
    chain.take_up()
    assert chain.rows(BALANCE) == [(Decimal("70.00"),)], "of s2's change no time was kept"
    two.update("wallets", (2,), balance="55.00")
    chain.take_in()
    say(chain, "policy", "rollback", "--yes", "2")
    chain.take_up()
    assert chain.rows(BALANCE) == [(Decimal("25.00"),)]
    agreed_right(chain)
