"""``flask uploads …``: what an operator asks of the uploads."""

from __future__ import annotations

import json

import click
from flask import current_app
from flask.cli import AppGroup

from .config import Size
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
