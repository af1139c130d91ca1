"""tillstream policy apply, history, rollback: which policy decides, since when, by whom and why."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conflict.policy import Policy
from tillstream.checked_yaml import Document
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all, load_policies
from tillstream.commands.person import person
from tillstream.commands.policy_diff import differences, in_words, policies_file, require_fit
from tillstream.config import Config
from tillstream.errors import RefusedError

if TYPE_CHECKING:
    from sinks.policy_versions import Origin, PolicyVersion
    from sinks.warehouse import Warehouse

NOT_AGREED = 1  # nothing was changed: nobody was there to say yes
SAMPLES = 3

Reason = Annotated[str, typer.Option("--reason", help="Why; shown by `history`.")]
Yes = Annotated[bool, typer.Option("--yes", help="Neither show what would change nor ask.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="KEYS", help="Show it of a table's first keys.")]


def apply(reason: Reason = "", yes: Yes = False, limit: Limit = None, config: ConfigPath = DEFAULT_PATH) -> None:
    """Put the policies file in force: show what it would change, and, once agreed, switch to it.

    `run` may be at work: it goes over to the new policy with its next transaction, and decides every key of the tables
    concerned anew, in chunks. Exit code 1 if nobody was there to agree.
    """
    from sinks.policy_versions import Origin
    from tillstream.opening import open_warehouse

    settings, written = load_all(config)
    document = load_policies(policies_file(settings))
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        if _agrees(warehouse, settings, written, written, document, limit, yes=yes):
            _switch(warehouse, settings, written, Origin.FILE, reason)
            return
    raise typer.Exit(NOT_AGREED)


def rollback(
    number: Annotated[
        int | None, typer.Argument(metavar="NUMBER", help="From `history`; the one before without it.")
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
    limit: Limit = None,
    config: ConfigPath = DEFAULT_PATH,
) -> None:
    """Go back to a policy that was in force before. The policies file stays as it is, and is not taken up again by
    `run` until it is changed.

    Exit code 1 if nobody was there to agree.
    """
    from sinks.policy_versions import Origin, versions
    from tillstream.opening import open_warehouse

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        with warehouse.transaction() as tx:
            earlier = _earlier(versions(tx), number)
        policy = earlier.policy
        if _agrees(warehouse, settings, written, policy, earlier.document, limit, yes=yes):
            _switch(warehouse, settings, policy, Origin.ROLLBACK, reason or f"back to {earlier.id}")
            return
    raise typer.Exit(NOT_AGREED)


def history(config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """The policies that were in force, the oldest first."""
    from sinks.policy_versions import being_decided, versions
    from tillstream.opening import open_warehouse

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        with warehouse.transaction() as tx:
            found, at_work = versions(tx), being_decided(tx)
    if output is Output.JSON:
        plain = [_as_json(each) for each in found]
        print(json.dumps({"schema": 1, "policies": plain, "being_decided": at_work}, ensure_ascii=False))
        return
    for each in found:
        print(_line(each, is_last=each is found[-1]))
    for table, after in at_work.items():
        print(f"   central.{table} is being decided anew{f', up to {after} so far' if after else ''}")
    if not found:
        print("no policy was ever in force; `tillstream run` takes up the file")
    elif found[-1].fingerprint != written.fingerprint:
        print(f"   {_name(settings)} says something else: `tillstream policy diff` shows what it would change")


def _agrees(
    warehouse: "Warehouse",
    settings: Config,
    written: Policy,
    tried: Policy,
    document: Document,
    limit: int | None,
    *,
    yes: bool,
) -> bool:
    from tillstream.policies import in_force

    if yes:
        require_fit(warehouse, settings, tried, document)
        return True
    present = in_force(warehouse, written)
    found = differences(warehouse, settings, present, tried, document, samples=SAMPLES, most_keys=limit)
    typer.echo("\n".join(in_words(document.file, found)), err=True)
    if not sys.stdin.isatty():
        typer.echo("Nothing was changed; say --yes to have it so.", err=True)
        return False
    return typer.confirm("Decide it so?", err=True)


def _switch(warehouse: "Warehouse", settings: Config, policy: Policy, origin: "Origin", reason: str) -> None:
    from sinks.policy_switch import switch_policy
    from tillstream.policies import shapes_of

    shapes = shapes_of(settings, policy)
    number = switch_policy(warehouse, shapes, origin, author=person(), reason=reason)
    print(f"policy {number} (version {policy.version}) is in force; `run` decides anew what it concerns, key by key")


def _earlier(found: "list[PolicyVersion]", number: int | None) -> "PolicyVersion":
    if number is None:
        if len(found) < 2:
            raise RefusedError("there is no earlier policy to go back to; `tillstream policy history` lists them")
        return found[-2]
    for each in found:
        if each.id == number:
            return each
    raise RefusedError(f"there was never a policy {number}; `tillstream policy history` lists them")


def _line(each: "PolicyVersion", *, is_last: bool) -> str:
    how = "gone back to" if each.origin == "rollback" else "taken up"
    by = f" by {each.author}" if each.author else " by `run`"
    why = f": {each.reason}" if each.reason else ""
    mark = "in force, " if is_last else ""
    return f"{each.id}  version {each.version}, {mark}{how} {each.applied_at:%Y-%m-%d %H:%M:%S} UTC{by}{why}"


def _name(settings: Config) -> str:
    return Path(settings.policies).name if settings.policies else "the policies file"


def _as_json(each: "PolicyVersion") -> dict[str, Any]:
    return {
        "id": each.id,
        "version": each.version,
        "fingerprint": each.fingerprint,
        "origin": each.origin.value,
        "author": each.author,
        "reason": each.reason,
        "applied_at": each.applied_at.isoformat(),
        "source": each.source.text if each.source else None,
        "modules": dict(each.source.modules) if each.source else {},
        "files": each.source.files if each.source else {},
    }
