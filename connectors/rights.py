"""What an account may do, read from SHOW GRANTS, and the least that Tillstream asks for."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tillstream.config import Store

# What each is for, so that an administrator can judge it.
EVERYWHERE = {
    "RELOAD": "the short read lock at the start of a snapshot",
    "REPLICATION SLAVE": "reading the binlog",
    "REPLICATION CLIENT": "knowing where the binlog ends",
}
_SYNONYMS = {
    "BINLOG MONITOR": "REPLICATION CLIENT",  # MariaDB 10.5.2 and later
    "REPLICATION REPLICA": "REPLICATION SLAVE",
    "FLUSH_TABLES": "RELOAD",  # the part of it that matters, MySQL 8.0.23 and later
}
_NAME = r"(?:`(?:[^`]|``)*`|\*)"
_GRANT = re.compile(rf"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<place>{_NAME}\.{_NAME}) TO ", re.IGNORECASE)
_REVOKE = re.compile(rf"REVOKE (?P<rights>.+?) ON (?P<place>{_NAME}\.{_NAME}) FROM ", re.IGNORECASE)
_COLUMN_LIST = re.compile(r"\s*\([^)]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Of the account that asked."""

    everywhere: frozenset[str] = frozenset()  # in capital letters
    selectable: tuple[tuple[str, str | None], ...] = ()  # (database pattern, table or None for all of it)
    hidden: frozenset[str] = frozenset()  # databases taken out of a global SELECT, by a partial revoke

    def has(self, right: str) -> bool:
        return right in self.everywhere or "ALL PRIVILEGES" in self.everywhere

    def may_select(self, database: str, table: str | None = None) -> bool:
        """All of the database, or this table of it."""
        if self.has("SELECT") and database not in self.hidden:
            return True
        return any(_matches(pattern, database) and granted in (None, table) for pattern, granted in self.selectable)

    def may_select_in(self, database: str) -> bool:
        """At least one table of it."""
        return self.may_select(database) or any(_matches(pattern, database) for pattern, _ in self.selectable)


def rights_of(lines: Iterable[str]) -> Rights:
    """From the lines of SHOW GRANTS; the rights of single columns do not count."""
    everywhere: set[str] = set()
    selectable: list[tuple[str, str | None]] = []
    hidden: set[str] = set()
    for line in lines:
        if (revoked := _REVOKE.match(line)) and "SELECT" in _listed(revoked["rights"]):
            hidden.add(_place(revoked["place"])[0])
        granted = _GRANT.match(line)
        if granted is None:
            continue
        database, table = _place(granted["place"])
        if database == "*":
            everywhere |= _listed(granted["rights"])
        elif {"SELECT", "ALL PRIVILEGES"} & _listed(granted["rights"]):
            selectable.append((database, None if table == "*" else table))
    return Rights(everywhere=frozenset(everywhere), selectable=tuple(selectable), hidden=frozenset(hidden))


def lacking(rights: Rights, database: str, *, tables: Collection[str] | None = None) -> tuple[str, ...]:
    """The rights that are missing, as a GRANT names them. `tables`: all that are to be read, None for any."""
    missing = tuple(right for right in EVERYWHERE if not rights.has(right))
    may_read = (
        rights.may_select_in(database)
        if tables is None
        else all(rights.may_select(database, table) for table in tables)
    )
    return missing if may_read else ("SELECT", *missing)


def least_grants(store: Store) -> tuple[str, ...]:
    """The least that works, to be run as an administrator: the same words on MySQL 5.5 to 9.x and on MariaDB."""
    account = f"{_quoted(store.user)}@'%'"
    database = store.database.replace("`", "``").replace("\\", "\\\\").replace("_", r"\_").replace("%", r"\%")
    return (
        # the lock, for a moment: a table without a key is read anew as it stood at one position
        f"GRANT SELECT, LOCK TABLES ON `{database}`.* TO {account};",
        f"GRANT {', '.join(EVERYWHERE)} ON *.* TO {account};",
    )


def new_account(store: Store) -> str:
    """The statement that makes the account, for every version; whoever runs it thinks of a password."""
    return f"CREATE USER {_quoted(store.user)}@'%' IDENTIFIED BY 'a long password';"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _listed(rights: str) -> set[str]:
    # a right on single columns, `SELECT (a, b)`, is no right on the table and stays apart as `SELECT()`
    named = {part.strip().upper() for part in _COLUMN_LIST.sub("()", rights).split(",")}
    return {_SYNONYMS.get(right, right) for right in named}


def _place(text: str) -> tuple[str, str]:
    database, table = (part.strip("`").replace("``", "`") for part in re.findall(_NAME, text))
    return database, table


def _matches(pattern: str, database: str) -> bool:
    """A database's name in a GRANT is a pattern: % and _ stand for anything unless escaped."""
    steps = re.findall(r"\\.|.", pattern)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(step) or re.escape(step.removeprefix("\\")) for step in steps)
    return re.fullmatch(expression, database) is not None
