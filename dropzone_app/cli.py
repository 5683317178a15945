"""``flask uploads …``: what an operator asks of the uploads."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from itertools import chain
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup, ScriptInfo

from . import sweep as sweeping
from .config import SettingError, Size
from .doctor import PROBLEM, examine
from .errors import Rejected
from .naming import shown
from .records import now, upgrading
from .uploads import Site
from .views.files import file_fields, iso_time
from .views.shares import share_fields

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
    limit = current_app.extensions["uploads_rate_limit"]
    key = cast("str | bytes", current_app.secret_key)
    findings = list(examine(site, key, url, rate=limit.rate if limit else None))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.level:8} {finding.check}: {finding.says}")
            if finding.mend:
                click.echo(f"         {finding.mend}")
    if any(finding.level == PROBLEM for finding in findings):
        raise SystemExit(1)


@uploads.command("cors")
@click.argument("origins", nargs=-1, required=True, metavar="ORIGIN...")
def cors(origins: tuple[str, ...]) -> None:
    """Let pages of each ORIGIN, such as https://files.example.org, send files straight to the stores of direct sets.

    It is one rule of the bucket's CORS configuration, in place of the one that was set so before; others stay.
    """
    site: Site = current_app.extensions["uploads"]
    for origin in origins:
        if not re.fullmatch(r"https?://[^/\s*]+", origin):
            raise click.ClickException(
                f"{shown(origin)} is no origin; give one such as https://files.example.org"
            )
    if not site.direct:
        raise click.ClickException(
            "No upload set is direct; UPLOADS_DIRECT or UploadSet(…, direct=True) makes one so."
        )
    for name, store in site.direct.items():
        try:
            store.allow(origins)
        except OSError as error:
            raise click.ClickException(
                f"The store of {name!r} does not take that: {error.strerror}."
            ) from error
        click.echo(f"{store.origin}: pages of {', '.join(origins)} may send files of {name!r} there.")


@uploads.group("token")
def token() -> None:
    """API tokens: what a script shows, as `Authorization: Bearer …`, in place of a session and its CSRF token."""


@token.command("create")
@click.option(
    "--owner", required=True, metavar="NAME", help="Whose files the script sends, sees and deletes."
)
@click.option(
    "--set", "set_name", metavar="SET", help="The only upload set that it is for; else all of them."
)
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=365, show_default=True, help="How long it is good."
)
@click.option("--note", default="", metavar="TEXT", help="What it is for, to be told in the list.")
def create_token(owner: str, set_name: str | None, days: int, note: str) -> None:
    """Make a token and print it, this once."""
    site: Site = current_app.extensions["uploads"]
    if set_name is not None and set_name not in site.sets:
        raise click.ClickException(f"There is no upload set {set_name!r}; there are {', '.join(site.sets)}.")
    if not owner.strip() or not owner.isprintable() or not (note + "x").isprintable():
        raise click.ClickException("--owner and --note are names in one line, and --owner is not empty.")
    made, text = site.records.tokens.create(owner, set_name=set_name, note=note, lifetime=days * 24 * 3600)
    click.echo(text)
    told = f"It is good until {iso_time(made.expires)}, and nobody can show it again."
    click.echo(f"{told} `flask uploads token revoke {made.id}` ends it.", err=True)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_tokens(as_json: bool) -> None:
    """List the tokens that were not revoked, newest first; never what is shown of them."""
    site: Site = current_app.extensions["uploads"]
    tokens = site.records.tokens.all()
    if as_json:
        told = [
            asdict(one) | {name: iso_time(getattr(one, name)) for name in ("created", "expires")}
            for one in tokens
        ]
        click.echo(json.dumps({"tokens": told}, indent=1))
        return
    for one in tokens:
        until = "expired" if one.expires <= now() else "good until"
        click.echo(
            f"{one.id}  {until} {iso_time(one.expires)}  {one.set or 'all sets'}  {one.owner}  {one.note}".rstrip()
        )


@token.command("revoke")
@click.argument("id")
def revoke_token(id: str) -> None:
    """End a token at once. ID is what the list shows."""
    site: Site = current_app.extensions["uploads"]
    if not site.records.tokens.revoke(id):
        raise click.ClickException(f"There is no token {shown(id)}; `flask uploads token list` shows them.")


@uploads.group("share")
def share() -> None:
    """Links to one file each, for whoever has them."""


@share.command("create")
@click.argument("file")
@click.option(
    "--days", type=click.IntRange(1, 366), default=7, show_default=True, help="How long it is good."
)
def create_share(file: str, days: int) -> None:
    """Make a link to the file with the id FILE and print it, without the server's name."""
    site: Site = current_app.extensions["uploads"]
    record = site.records.file(file)
    if record is None:
        raise click.ClickException(f"There is no file {shown(file)}; `flask uploads list` shows them.")
    try:
        made = site.records.shares.create(file, days * 24 * 3600)
    except Rejected as rejected:
        raise click.ClickException(rejected.sentence) from rejected
    with current_app.test_request_context():
        click.echo(share_fields(made, record)["url"])
    told = f"It is good until {iso_time(made.expires)};"
    click.echo(f"{told} `flask uploads share revoke {made.id}` takes it back.", err=True)


@share.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_shares(as_json: bool) -> None:
    """List the links that are good, newest first."""
    site: Site = current_app.extensions["uploads"]
    with current_app.test_request_context():
        told = [
            share_fields(one, record)
            for one in site.records.shares.all()
            if (record := site.records.file(one.file))
        ]
    if as_json:
        click.echo(json.dumps({"shares": told}, indent=1))
        return
    for fields in told:
        click.echo(f"{fields['id']}  good until {fields['expires']}  {fields['url']}")


@share.command("revoke")
@click.argument("id")
def revoke_share(id: str) -> None:
    """Take a link back at once. ID is what the list shows."""
    site: Site = current_app.extensions["uploads"]
    if not site.records.shares.revoke(id):
        raise click.ClickException(f"There is no link {shown(id)}; `flask uploads share list` shows them.")


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
