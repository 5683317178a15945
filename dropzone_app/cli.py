"""``flask uploads …``: what an operator asks of the uploads."""

from __future__ import annotations

import json

import click
from flask import current_app
from flask.cli import AppGroup, ScriptInfo

from . import thumbnails
from .config import SettingError, Size
from .records import upgrading
from .uploads import Site
from .views.files import file_fields

uploads = AppGroup("uploads", help="Uploaded files and their records.")


@uploads.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_files(form: str) -> None:
    """List the stored files of all owners, newest first."""
    site: Site = current_app.extensions["uploads"]
    # Addresses are root-relative, as in every answer; there is no request that could say more.
    with current_app.test_request_context():
        if form == "json":
            click.echo(
                json.dumps({"files": [file_fields(record) for record in site.records.everything()]}, indent=1)
            )
            return
        for record in site.records.everything():
            click.echo(f"{record.id}  {Size(record.size)!s:>10}  {record.key}")


@uploads.command("sweep")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def sweep(dry_run: bool) -> None:
    """Remove what was abandoned: thumbnails whose file is gone."""
    site: Site = current_app.extensions["uploads"]
    found = thumbnails.sweep(site, dry_run=dry_run)
    click.echo(f"Thumbnails without a file {'found' if dry_run else 'removed'}: {found}")


@uploads.command("upgrade", with_appcontext=False)
@click.pass_context
def upgrade(context: click.Context) -> None:
    """Bring the tables of the database to this version.

    SQLite needs no such word: its tables follow at the next start.
    """
    # An app does not start with the tables of another version, so that is done while it starts.
    try:
        with upgrading():
            app = context.ensure_object(ScriptInfo).load_app()
    except SettingError as error:
        raise click.ClickException(str(error)) from error
    site: Site = app.extensions["uploads"]
    click.echo(f"The tables of {site.records} are up to date.")
