"""Which analysis another one continues and from where, and whether its tokens are an estimate."""

from peewee import SQL, BooleanField, ForeignKeyField, IntegerField, Model


def up(migrator, db):
    class Analysis(Model):
        class Meta:
            database = db

    continues = ForeignKeyField(Analysis, field=Analysis.id, null=True, on_delete="SET NULL")
    # With its default in the column itself the table need not be written anew.
    is_estimate = BooleanField(constraints=[SQL("DEFAULT FALSE")])
    migrator.migrate(
        migrator.add_column("analysis", "continues_id", continues),
        migrator.add_column("analysis", "joins_at", IntegerField(null=True)),
        migrator.add_column("analysis", "usage_is_estimate", is_estimate, allow_not_null=True),
    )
