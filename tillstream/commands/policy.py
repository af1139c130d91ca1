"""tillstream policy: rules that can be tried before they count, and gone back from."""

import typer

from tillstream.commands import policy_diff, policy_versions


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Try policies before they count, switch to them, go back.", no_args_is_help=True)
    group.command("diff")(policy_diff.diff)
    group.command("apply")(policy_versions.apply)
    group.command("history")(policy_versions.history)
    group.command("rollback")(policy_versions.rollback)
    app.add_typer(group, name="policy")
