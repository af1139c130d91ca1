"""tillstream policy: rules that can be tried before they count, and gone back from."""

import typer

from tillstream.commands import policy_diff, policy_test, policy_versions


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check, test and try policies, switch to them, go back.", no_args_is_help=True)
    group.command("check")(policy_test.check)
    group.command("test")(policy_test.run_tests)
    group.command("diff")(policy_diff.diff)
    group.command("apply")(policy_versions.apply)
    group.command("history")(policy_versions.history)
    group.command("rollback")(policy_versions.rollback)
    group.command("schema")(policy_test.schema)
    app.add_typer(group, name="policy")
