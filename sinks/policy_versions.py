"""The policies that were in force, each as it was written, and the one that is."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from conflict.explain import rule_in_words
from conflict.policy import EMPTY_POLICY, REST, Policy, PolicySource
from conflict.policy_file import parse_policy
from sinks.warehouse import Transaction
from tillstream.checked_yaml import Document, parse
from tillstream.errors import RefusedError, TillstreamError

_COLUMNS = "id, version, fingerprint, keys, origin, author, reason, applied_at, source, stores, modules, files"
_LAST = f"SELECT {_COLUMNS} FROM tillstream.policies ORDER BY id DESC LIMIT 1"
_ALL = f"SELECT {_COLUMNS} FROM tillstream.policies ORDER BY id"
_LAST_OF_FILE = "SELECT fingerprint FROM tillstream.policies WHERE origin = 'file' ORDER BY id DESC LIMIT 1"
_KEEP = """\
INSERT INTO tillstream.policies (version, fingerprint, keys, origin, author, reason, source, stores, modules, files)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id"""
_KEEP_RULES = """\
INSERT INTO tillstream.rules (policy, table_name, column_name, rule, says)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING"""
_KEEP_SOURCE = """\
UPDATE tillstream.policies SET source = %s, stores = %s, modules = %s, files = %s WHERE id = %s AND source IS NULL"""
_REDECIDED = "SELECT table_name, after FROM tillstream.redecisions ORDER BY table_name"


class PolicyChangedError(TillstreamError):
    """Another policy is in force than the one this transaction was prepared for: nothing of it is written."""


class Origin(StrEnum):
    FILE = "file"  # policies.yaml, by `run` or by `policy apply`
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One policy, from when it was taken up until the next one was."""

    id: int
    version: int  # as its file says
    fingerprint: str
    keys: dict[str, Any]  # table, in the warehouse's names → its key definition
    origin: Origin
    author: str
    reason: str
    applied_at: datetime
    source: PolicySource | None

    @property
    def policy(self) -> Policy:
        """As it was written, in the stores' names. RefusedError of one whose text was not kept."""
        if self.source is None:
            raise RefusedError(
                f"policy {self.id} (version {self.version}) was taken up by a Tillstream that did not keep its text; "
                "write it into policies.yaml and `tillstream policy apply`"
            )
        return parse_policy(self.document, self.source.stores, self.source.modules)

    @property
    def document(self) -> Document:
        """Its text, with the files that it names."""
        assert self.source is not None
        return parse(self.source.text, f"policy {self.id}", self.source.files)


def versions(tx: Transaction) -> list[PolicyVersion]:
    """Oldest first; the last is in force."""
    return [_version(row) for row in tx.rows(_ALL)]


def version_in_force(tx: Transaction) -> PolicyVersion | None:
    rows = tx.rows(_LAST)
    return _version(rows[0]) if rows else None


def policy_in_force(tx: Transaction, written: Policy) -> Policy:
    """What decides now, in the stores' names. RefusedError if none was ever taken up and there is one in the file."""
    present = version_in_force(tx)
    if present is None:
        if written.tables:
            raise RefusedError("the policies were never applied to this warehouse; `tillstream run` applies them")
        return EMPTY_POLICY
    return written if present.fingerprint == written.fingerprint else present.policy


def last_of_file(tx: Transaction) -> str | None:
    """The fingerprint of what was last taken up from policies.yaml."""
    rows = tx.rows(_LAST_OF_FILE)
    return rows[0][0] if rows else None


def keep(tx: Transaction, policy: Policy, keys: dict[str, Any], origin: Origin, author: str, reason: str) -> int:
    """The id of the new version, which is in force with the commit."""
    facts = [policy.version, policy.fingerprint, json.dumps(keys), origin.value, author, reason]
    number = int(tx.value(_KEEP, [*facts, *_source(policy)]))
    keep_rules(tx, number, policy)
    return number


def keep_source(tx: Transaction, version: PolicyVersion, policy: Policy) -> None:
    """Of one that was taken up before texts were kept."""
    if version.source is None and policy.source is not None:
        tx.execute(_KEEP_SOURCE, [*_source(policy), version.id])


def keep_rules(tx: Transaction, number: int, policy: Policy) -> None:
    """What it says of each column, for people with only SQL."""
    said = [
        (table, column, rule, words)
        for table, each in policy.tables.items()
        for column, rule, words in (
            *((part.column, "key", f"key: {part.written}") for part in each.key),
            *((name, rule.rule.value, rule_in_words(rule)) for name, rule in each.columns.items()),
            (REST, each.default.rule.value, rule_in_words(each.default)),
        )
    ]
    if said:
        tx.execute(_KEEP_RULES, [number, *map(list, zip(*said, strict=True))])


def being_decided(tx: Transaction) -> dict[str, str]:
    """Table → the key up to which it has been decided anew since the last switch."""
    return dict(tx.rows(_REDECIDED))


def alone(tx: Transaction) -> None:
    """No other transaction decides until this one's end, and all that did are seen by its next statement."""
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('tillstream policy', 0))")


def enter(tx: Transaction, policy_id: int | None) -> bool:
    """Whether keys wait to be decided. PolicyChangedError unless that policy is in force, as it then stays until the
    transaction's end."""
    in_force, keys_wait = tx.rows("SELECT policy, keys_wait FROM tillstream.enter_policy()")[0]
    if in_force != policy_id:
        raise PolicyChangedError(f"policy {in_force} is in force, not {policy_id}")
    return bool(keys_wait)


def _version(row: tuple[Any, ...]) -> PolicyVersion:
    *facts, source, stores, modules, files = row
    names = ("id", "version", "fingerprint", "keys", "origin", "author", "reason", "applied_at")
    said = dict(zip(names, facts, strict=True)) | {"origin": Origin(facts[4])}
    kept = None if source is None else PolicySource(text=source, stores=stores, modules=modules, files=files)
    return PolicyVersion(**said, source=kept)


def _source(policy: Policy) -> tuple[str | None, str | None, str, str]:
    source = policy.source
    if source is None:
        return None, None, "{}", "{}"
    modules, files = (json.dumps(dict(each), ensure_ascii=False) for each in (source.modules, source.files))
    return source.text, json.dumps(source.stores), modules, files
