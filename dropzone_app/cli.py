"""``flask uploads …``: what an operator asks of the uploads."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup, ScriptInfo

from . import sweep as sweeping
from .config import SettingError, Size
from .doctor import PROBLEM, examine
from .naming import shown
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
@click.option(
    "--age",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="Of what is younger nothing is removed; 0: all that no living process holds. Default: UPLOADS_SWEEP_AGE.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def sweep(age: int | None, dry_run: bool) -> None:
    """Remove what was abandoned: unfinished uploads, staged files, reservations, thumbnails.

    Files that no record ever named and records whose file is gone are told, and left alone.
    """
    site: Site = current_app.extensions["uploads"]
    done, removed = ("Would remove", "would be removed") if dry_run else ("Removed", "removed")
    age = site.settings.sweep_age if age is None else age
    count = size = left = 0
    for finding in chain(sweeping.sweep(site, age=age, dry_run=dry_run), sweeping.disagreements(site)):
        verb = done if finding.abandoned else "Left alone"
        click.echo(f"{verb}: {finding.what} {shown(finding.name)} ({Size(finding.size)})")
        if finding.abandoned:
            count, size = count + 1, size + finding.size
        else:
            left += 1
    click.echo(f"{count} {removed} ({Size(size)}), {left} left alone.")


@uploads.command("doctor")
@click.option(
    "--url", metavar="URL", help="Where people reach the server: asks what a proxy on the way lets through."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(url: str | None, as_json: bool) -> None:
    """Look for what people get wrong, and tell how to mend it. Exit status 1 where something has to be mended."""
    site: Site = current_app.extensions["uploads"]
    findings = list(examine(site, cast("str | bytes", current_app.secret_key), url))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.level:8} {finding.check}: {finding.says}")
            if finding.mend:
                click.echo(f"         {finding.mend}")
    if any(finding.level == PROBLEM for finding in findings):
        raise SystemExit(1)


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
