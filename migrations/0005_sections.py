"""In how many sections an analysis reads its document, and what each of its calls has read."""

from peewee import SQL, CharField, CompositeKey, ForeignKeyField, IntegerField, Model, SqliteDatabase


def up(migrator, db):
    is_sqlite = isinstance(db, SqliteDatabase)

    class Base(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Analysis(Base):
        pass

    class Section(Base):
        analysis = ForeignKeyField(Analysis, on_delete="CASCADE", index=False)
        position = IntegerField()
        level = IntegerField()
        number = IntegerField()
        start = IntegerField()
        end = IntegerField()
        first = IntegerField()
        last = IntegerField()
        stop_reason = CharField(max_length=12)

        class Meta:
            primary_key = CompositeKey("analysis", "position")
            without_rowid = is_sqlite

    # With its default in the column itself the table need not be written anew.
    sections = IntegerField(constraints=[SQL("DEFAULT 1")])
    migrator.migrate(migrator.add_column("analysis", "sections", sections, allow_not_null=True))
    db.create_tables([Section])
