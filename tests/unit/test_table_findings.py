"""What `doctor` concludes from a store's tables, with the statement that mends it."""

from dataclasses import replace

import pytest
from catalog import a_column, a_server, a_table

from connectors.examination import ForeignKey, StoredColumn, StoredTable
from connectors.findings import Finding, Level
from connectors.table_findings import Wanted, of_tables
from tillstream.config_file import Tables
from tillstream.examining import reason_against

MEMBERS = a_table("members", "id int not null", "phone varchar(20)", "name varchar(20)")
LINES = a_table(
    "sale_lines", "id int not null", "sale_id int",
    foreign_keys=(
        ForeignKey(name="fk", parent="sales", columns=("sale_id",), parent_columns=("id",), on_delete="CASCADE",
                   on_update="RESTRICT"),
    ),
)  # fmt: skip


def found(
    *tables: StoredTable, version: str = "5.6.24", shared: dict[str, tuple[str, ...]] | None = None, **asked: object
) -> list[Finding]:
    wanted = Wanted(tables=Tables.model_validate(asked), shared=shared or {})
    return list(of_tables(a_server(version=version), tables, wanted, reason_against))


def test_ordinary_tables_give_no_finding() -> None:
    """Every type that the warehouse keeps, without a word."""
    types = ("bigint(20) unsigned", "decimal(65,30)", "float(7,3)", "double", "bit(1)", "bit(64)", "year(4)", "date",
             "datetime(6)", "timestamp", "time(3)", "char(3)", "text", "enum('a','b (c)')", "set('x','unsigned')",
             "varbinary(9)", "longblob", "tinyint(1)", "mediumint(9)", "binary(16)", "point", "geomcollection", "json",
             "vector(3)", "uuid")  # fmt: skip
    assert found(a_table("t", "id int not null", *(f"c{n} {t}" for n, t in enumerate(types)))) == []


@pytest.mark.parametrize("column_type", ["sys_refcursor", "xmltype"])
def test_a_type_without_a_place_is_refused_with_the_line_that_leaves_it_out(column_type: str) -> None:
    """The line is a part of tillstream.yaml."""
    [told] = found(a_table("shops", "id int not null", f"place {column_type}"))
    assert (told.level, told.subject) == (Level.REFUSE, "table shops")
    assert told.paste == ("exclude_columns: {shops: [place]}",)
    assert found(a_table("shops", "id int", f"place {column_type}"), exclude_columns={"shops": ["place"]}) == []
    assert found(a_table("shops", "id int", f"place {column_type}"), MEMBERS, exclude=["shops"]) == []


@pytest.mark.parametrize("column_type", ["inet6", "inet4", "varchar(20) /*M!100301 COMPRESSED*/"])
def test_a_type_that_debezium_cannot_read_is_refused_with_its_whole_table(column_type: str) -> None:
    """Leaving out the column does not help: its declaration is read as a whole."""
    gate = a_table("gate", "id int not null", f"address {column_type}")
    for left_out in ({}, {"gate": ["address"]}):
        [told] = found(gate, exclude_columns=left_out)
        assert (told.level, told.subject) == (Level.REFUSE, "table gate")
        assert "address (Debezium cannot read" in told.sentence
        assert told.paste == ("exclude: [gate]",)
    assert found(gate, MEMBERS, exclude=["gate"]) == []


def test_a_charset_that_nobody_decodes_is_refused() -> None:
    """Debezium stops at cp1256."""
    table = a_table("t", "id int not null")
    odd = a_column("t", "note", "varchar(9)", charset="cp1256")
    [told] = found(replace(table, columns=(*table.columns, odd)))
    assert told.level is Level.REFUSE
    assert "note (charset cp1256)" in told.sentence


@pytest.mark.parametrize(
    ("version", "refused"), [("5.6.24", True), ("8.4.3", True), ("9.5.0", True), ("9.6.0", False), ("9.7.4", False),
                             ("10.11.19-MariaDB", True)]
)  # fmt: skip
def test_a_cascade_is_refused_until_mysql_9_6(version: str, refused: bool) -> None:
    """From there on the server logs it; MariaDB does not."""
    told = found(LINES, version=version)
    assert [each.level for each in told] == ([Level.REFUSE] if refused else [])
    if refused:
        assert "ON DELETE CASCADE" in told[0].sentence
        assert told[0].paste == (
            "ALTER TABLE `sale_lines` DROP FOREIGN KEY `fk`;",
            "ALTER TABLE `sale_lines` ADD CONSTRAINT `fk` FOREIGN KEY (`sale_id`) REFERENCES `sales` (`id`);",
        )


def test_a_keyless_table_is_a_warning_unless_it_is_shared() -> None:
    """A unique key counts for one if it cannot be NULL."""
    keyless = a_table("stock", "sku varchar(9)", key=None, unique="sku")
    assert [each.level for each in found(keyless)] == [Level.WARN]
    assert [each.level for each in found(keyless, shared={"stock": ("sku",)})] == [Level.REFUSE]
    keyed = replace(keyless, unique_keys=tuple(replace(key, nullable=False) for key in keyless.unique_keys))
    assert found(keyed) == []


def test_a_policy_that_names_a_column_the_store_lacks_is_refused() -> None:
    """Also one that tables.exclude_columns holds back."""
    [told] = found(MEMBERS, shared={"members": ("phone", "updated_at")})
    assert (told.level, "column updated_at" in told.sentence) == (Level.REFUSE, True)
    [held] = found(MEMBERS, shared={"members": ("phone",)}, exclude_columns={"members": ["phone"]})
    assert "column phone" in held.sentence


def test_old_negative_times_are_refused_and_old_dates_are_not() -> None:
    """Of the format of MySQL 5.5 only negative TIMEs are read wrong."""
    table = a_table("shifts", "id int not null", "length time", "begun datetime")
    old = replace(table, columns=tuple(replace(each, is_old_temporal=True) for each in table.columns))
    [told] = found(old)
    assert told.sentence.startswith("column length of type TIME is")
    assert told.paste == ("ALTER TABLE `shifts` FORCE;",)


def test_tables_without_transactions_are_one_warning() -> None:
    """Fifty MyISAM tables are not fifty warnings, but fifty statements."""
    [told] = found(replace(MEMBERS, engine="MyISAM"), a_table("b", "id int not null", engine="MyISAM"))
    assert (told.level, told.subject) == (Level.WARN, "tables members, b")
    assert told.paste == ("ALTER TABLE `members` ENGINE = InnoDB;", "ALTER TABLE `b` ENGINE = InnoDB;")


def test_system_versioned_tables_are_refused() -> None:
    """Their history arrives as new rows."""
    [told] = found(replace(MEMBERS, system_versioned=True))
    assert told.level is Level.REFUSE


def test_latin1_is_a_note_that_leads_to_the_deep_look() -> None:
    """The declaration proves nothing either way."""
    columns = (a_column("t", "id", "int not null"), a_column("t", "n", "varchar(9)", charset="latin1"))
    [told] = found(replace(a_table("t"), columns=columns))
    assert told.level is Level.NOTE
    assert "--deep" in told.remedy


def test_what_the_file_names_and_the_store_lacks_is_told() -> None:
    """A misspelt table in tables.include would be captured by nobody; without any table, nothing is."""
    [told] = found(MEMBERS, include=["members", "sals"])
    assert (told.level, told.subject) == (Level.WARN, "table sals")
    assert Level.REFUSE in [each.level for each in found(MEMBERS, include=["sals"])]


def test_catalog_types_are_the_declared_ones() -> None:
    """`unsigned` inside a list of members is no attribute, nor are sizes there."""
    as_declared = StoredColumn(table="t", name="c", column_type="int(10) unsigned zerofill").as_declared()
    assert (as_declared.type_name, as_declared.length) == ("INT UNSIGNED", 10)
    listed = StoredColumn(table="t", name="c", column_type="enum('unsigned','(3)')").as_declared()
    assert (listed.type_name, listed.length) == ("ENUM", None)
    exact = StoredColumn(table="t", name="c", column_type="decimal(65,30)").as_declared()
    assert (exact.type_name, exact.length, exact.scale) == ("DECIMAL", 65, 30)
