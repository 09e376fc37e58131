"""Who signs in, with whom documents are shared, what was spent and what was done."""

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
)
from playhouse.sqlite_ext import AutoIncrementField


def up(migrator, db):
    is_sqlite = isinstance(db, SqliteDatabase)

    class Base(Model):
        # An id is never given out twice, as PostgreSQL's sequences do by themselves.
        id = AutoIncrementField() if is_sqlite else AutoField()

        class Meta:
            database = db
            legacy_table_names = False

    class User(Base):
        pass

    class Document(Base):
        pass

    class Session(Base):
        user = ForeignKeyField(User, on_delete="CASCADE")
        digest = CharField(max_length=64, unique=True)
        is_admin = BooleanField()
        created_at = DateTimeField()
        seen_at = DateTimeField()
        ends_at = DateTimeField(index=True)

    class Share(Base):
        document = ForeignKeyField(Document, on_delete="CASCADE")
        user = ForeignKeyField(User, null=True, on_delete="CASCADE")
        created_at = DateTimeField()

        class Meta:
            indexes = ((("document", "user"), True),)

    class Expense(Base):
        # What was spent and done stays when what it was about is deleted.
        analysis_id = IntegerField(unique=True)
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)
        model = CharField(max_length=200)
        day = DateField(index=True)
        amount = BigIntegerField(null=True)
        is_settled = BooleanField()
        input_tokens = IntegerField(null=True)
        output_tokens = IntegerField(null=True)
        created_at = DateTimeField()

        class Meta:
            indexes = ((("user", "day"), False),)

    class Event(Base):
        at = DateTimeField(index=True)
        user_id = IntegerField(null=True, index=True)
        name = CharField(max_length=200)
        action = CharField(max_length=40, index=True)
        document_id = IntegerField(null=True, index=True)
        analysis_id = IntegerField(null=True)
        detail = CharField(max_length=200)
        address = CharField(max_length=64)

    empty = SQL("DEFAULT ''")
    migrator.migrate(
        # With its default in the column itself the table need not be written anew.
        migrator.add_column("user", "subject", CharField(max_length=500, null=True, unique=True)),
        migrator.add_column(
            "user", "shown_name", CharField(max_length=200, constraints=[empty]), allow_not_null=True
        ),
        migrator.add_column("user", "disabled_at", DateTimeField(null=True)),
        migrator.add_column("user", "seen_at", DateTimeField(null=True)),
    )
    db.create_tables([Session, Share, Expense, Event])
