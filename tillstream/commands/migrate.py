"""tillstream migrate: bring the warehouse's bookkeeping schema to this program's version."""

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, load_all


def register(app: typer.Typer) -> None:
    app.command("migrate")(migrate)


def migrate(config: ConfigPath = DEFAULT_PATH) -> None:
    """Run the migrations that this warehouse has not had; again is harmless."""
    from sinks import migrations
    from tillstream.opening import open_warehouse

    settings, _ = load_all(config)
    with open_warehouse(settings) as warehouse:
        done = warehouse.migrate()
    if done:
        print(f"migrated to version {done[-1]}")
    else:
        print(f"nothing to do: the warehouse is at version {migrations.LATEST}")
