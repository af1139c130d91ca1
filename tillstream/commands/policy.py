"""tillstream policy: rules that can be tried before they count."""

import typer

from tillstream.commands import policy_diff


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Try policies before they count.", no_args_is_help=True)
    group.command("diff")(policy_diff.diff)
    app.add_typer(group, name="policy")
