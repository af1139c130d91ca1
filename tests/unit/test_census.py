"""Stores side by side: the odd ones out are named, and one server under two ids is refused."""

from dataclasses import replace

from catalog import a_server, a_table

from connectors.census import Difference, Seen, differences, of_fleet
from connectors.examination import StoredTable
from connectors.findings import Level

MEMBERS = a_table("members", "id int(11) not null", "phone varchar(20)", "points decimal(10,2)")


def seen(store: str, *tables: StoredTable, **settings: str) -> Seen:
    own = {"server_uuid": f"uuid-{store}", "server_id": store[1:]}
    return Seen(store=store, server=a_server(**{**own, **settings}), tables=tables or (MEMBERS,))


def test_stores_that_agree_differ_in_nothing() -> None:
    """Neither in what an integer is displayed as, nor in the order of modes, nor in the name of old utf8."""
    other = a_table("members", "id int not null", "phone varchar(20)", "points decimal(10,2)")
    stores = [seen("s1", sql_mode="A,B"), seen("s2", sql_mode="B,A"), seen("s3", other, sql_mode="A,B")]
    assert list(differences(stores)) == []
    assert list(differences(stores[:1])) == []


def test_the_odd_one_out_is_named() -> None:
    """What most have is the usual; who has something else stands beside it."""
    odd = a_table("members", "id int(11) not null", "phone varchar(40)", key="id,phone")
    told = {each.subject: each for each in differences([seen("s1"), seen("s2"), seen("s3", odd)])}
    assert told["members.phone"] == Difference(
        subject="members.phone", usual="varchar(20) utf8mb4", odd={"varchar(40) utf8mb4": ("s3",)}
    )
    assert told["members.points"].odd == {"missing": ("s3",)}
    assert told["members: primary key"].odd == {"id, phone": ("s3",)}
    assert len(told) == 3


def test_a_missing_table_is_one_difference() -> None:
    """Not one for each of its columns."""
    told = list(differences([seen("s1"), seen("s2"), seen("s3", a_table("other", "id int not null"))]))
    assert [(each.subject, each.odd) for each in told] == [
        ("members", {"missing": ("s3",)}),
        ("other", {"there": ("s3",)}),
    ]


def test_without_a_majority_all_are_named() -> None:
    """Of two stores neither is the odd one."""
    [told] = differences([seen("s1", version="5.6.24"), seen("s2", version="5.7.44")])
    assert (told.usual, told.odd) == (None, {"MySQL 5.6": ("s1",), "MySQL 5.7": ("s2",)})


def test_of_modes_only_the_difference_is_told() -> None:
    """Seven modes in common would hide the eighth."""
    stores = [seen("s1", sql_mode="A,B"), seen("s2", sql_mode="A,B"), seen("s3", sql_mode="A")]
    [told] = differences(stores)
    assert (told.subject, told.usual, told.odd) == ("sql_mode", "B", {"": ("s3",)})


def test_one_server_under_two_ids_is_refused_for_both() -> None:
    """A cloned disk carries its server_uuid along; 5.5 has none, which proves nothing."""
    found = of_fleet([seen("s1", server_uuid="x"), seen("s2", server_uuid="x"), seen("s3")])
    assert {store: [each.level for each in told] for store, told in found.items()} == {
        "s1": [Level.REFUSE], "s2": [Level.REFUSE],
    }  # fmt: skip
    assert "s1 and s2" in found["s1"][0].sentence
    assert of_fleet([replace(seen("s1", server_uuid="")), seen("s2", server_uuid="")]) == {}


def test_a_shared_server_id_is_only_a_note() -> None:
    """Tills are often set up from one image; each is read by itself."""
    found = of_fleet([seen("s1", server_id="1"), seen("s2", server_id="1")])
    assert [each.level for told in found.values() for each in told] == [Level.NOTE, Level.NOTE]
