"""People, documents, analyses and the pieces of the token log."""

from peewee import (
    AutoField,
    BooleanField,
    CharField,
    CompositeKey,
    DateTimeField,
    DecimalField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)
from playhouse.sqlite_ext import AutoIncrementField


def up(migrator, db):
    is_sqlite = isinstance(db, SqliteDatabase)

    class Record(Model):
        # An id is never given out twice, as PostgreSQL's sequences do by themselves.
        id = AutoIncrementField() if is_sqlite else AutoField()

        class Meta:
            database = db
            legacy_table_names = False

    class User(Record):
        name = CharField(unique=True)
        created_at = DateTimeField()

    class Document(Record):
        owner = ForeignKeyField(User, on_delete="CASCADE")
        title = CharField(max_length=120)
        text = TextField()
        characters = IntegerField()
        words = IntegerField()
        paragraphs = IntegerField()
        created_at = DateTimeField(index=True)

    class Analysis(Record):
        owner = ForeignKeyField(User, on_delete="CASCADE")
        document = ForeignKeyField(Document, on_delete="CASCADE")
        recipe = CharField(max_length=60)
        question = TextField()
        model = CharField(max_length=200)
        request_key = CharField(max_length=64, null=True)
        status = CharField(max_length=12, index=True)
        text = TextField()
        words = IntegerField()
        stop_requested = BooleanField()
        worker = CharField(max_length=64)
        lease_until = DateTimeField(null=True)
        created_at = DateTimeField()
        started_at = DateTimeField(null=True)
        first_text_at = DateTimeField(null=True)
        ended_at = DateTimeField(null=True)
        stop_reason = CharField(max_length=12)
        error = CharField(max_length=40)
        provider_request_id = CharField(max_length=200)
        input_tokens = IntegerField(null=True)
        output_tokens = IntegerField(null=True)
        cached_tokens = IntegerField(null=True)
        price = DecimalField(max_digits=12, decimal_places=6, null=True)

        class Meta:
            indexes = ((("owner", "request_key"), True),)

    class Piece(Model):
        analysis = ForeignKeyField(Analysis, on_delete="CASCADE")
        position = IntegerField()
        text = TextField()

        class Meta:
            database = db
            legacy_table_names = False
            primary_key = CompositeKey("analysis", "position")
            without_rowid = is_sqlite

    db.create_tables([User, Document, Analysis, Piece])
