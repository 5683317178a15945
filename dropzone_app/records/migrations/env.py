"""What Alembic runs for every command: our tables, our version table, the caller's transaction."""

from alembic import context

from dropzone_app.records.tables import metadata, version

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=version.name,
    # SQLite's too, since its driver does not begin transactions by itself here.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
