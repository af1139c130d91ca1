"""tillstream config: look at tillstream.yaml and the policies without touching a store or the warehouse."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from conflict.code_map import files_named
from conflict.policy import EMPTY_POLICY, Policy
from conflict.policy_file import policy_schema
from tillstream.checked_yaml import Document, load
from tillstream.config import Config, parse_config, policies_path, read_config, store_attributes
from tillstream.config_file import config_schema
from tillstream.errors import ConfigError, Fault
from tillstream.own_modules import read_policy

POLICIES_REMEDY = "correct `policies:` in tillstream.yaml; `tillstream config schema --of policies` helps"


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


class Subject(StrEnum):
    CONFIG = "config"
    POLICIES = "policies"


ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
OutputOption = Annotated[Output, typer.Option("--output", help="text for people, json for programs.")]

DEFAULT_PATH = Path("tillstream.yaml")
FAULTY = 1


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check the configuration, or print its JSON Schema.", no_args_is_help=True)
    group.command("validate")(validate)
    group.command("schema")(schema)
    app.add_typer(group, name="config")


def validate(config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """Check tillstream.yaml and its policies, and run nothing: `tillstream policy test` runs their tests."""
    with told(output):
        found, policy = load_all(config)
    stores, tables = len(found.stores), len(policy.tables)
    if output is Output.JSON:
        print(json.dumps({**answer([]), "stores": stores, "shared_tables": tables}))
    else:
        print(f"{config}: ok, {counted(stores, 'store')}, {counted(tables, 'shared table')}")


def schema(
    of: Annotated[Subject, typer.Option("--of", help="Which file's schema.")] = Subject.CONFIG,
) -> None:
    """Print the JSON Schema of a file, for editors."""
    print_schema(of)


def print_schema(of: Subject) -> None:
    document = policy_schema() if of is Subject.POLICIES else config_schema()
    print(json.dumps(document, ensure_ascii=False, indent=2))


def load_all(path: Path, new: Path | None = None) -> tuple[Config, Policy]:
    """The configuration and its policies, or those of `new`; ConfigError with the faults of both files."""
    faults: list[Fault] = []
    config, policy = None, EMPTY_POLICY
    document = read_config(path)
    with _gathered(faults):
        config = parse_config(document)
    policies = new or policies_path(document)
    if policies is not None:
        with _gathered(faults):
            read = load_policies(policies) if new else load_policies(policies, remedy=POLICIES_REMEDY)
            policy = read_policy(read, store_attributes(document))
    if config is None or faults:
        raise ConfigError(faults)
    return config, policy


def load_policies(path: Path, *, remedy: str = "create it or correct the path") -> Document:
    """A policies file with the files that it names."""
    return load(path, remedy=remedy, files_named=files_named)


@contextmanager
def _gathered(faults: list[Fault]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        faults.extend(error.faults)


@contextmanager
def told(output: Output) -> Iterator[None]:
    """Faults in a file end the command, as JSON where that is asked for."""
    try:
        yield
    except ConfigError as error:
        if output is Output.TEXT:
            raise
        print(json.dumps(answer(error.faults), ensure_ascii=False))
        raise typer.Exit(FAULTY) from None


def answer(faults: list[Fault]) -> dict[str, object]:
    return {"schema": 1, "ok": not faults, "faults": [asdict(fault) for fault in faults]}


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
