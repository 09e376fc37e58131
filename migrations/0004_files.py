"""What is known of a document that came as a file, the file itself, and files that are being read."""

from hashlib import sha256

from peewee import (
    SQL,
    AutoField,
    BlobField,
    BooleanField,
    CharField,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)
from playhouse.sqlite_ext import AutoIncrementField


def up(migrator, db):
    is_sqlite = isinstance(db, SqliteDatabase)

    class Base(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Base):
        pass

    class Document(Base):
        text = TextField()

    class Original(Base):
        document = ForeignKeyField(Document, on_delete="CASCADE", primary_key=True)
        name = CharField(max_length=120)
        data = BlobField()

    class Reading(Base):
        # An id is never given out twice, as PostgreSQL's sequences do by themselves.
        id = AutoIncrementField() if is_sqlite else AutoField()
        owner = ForeignKeyField(User, on_delete="CASCADE")
        document = ForeignKeyField(Document, null=True, on_delete="CASCADE")
        name = CharField(max_length=120)
        title = CharField(max_length=120)
        page = IntegerField()
        pages = IntegerField(null=True)
        reason = CharField(max_length=20)
        stop_requested = BooleanField()
        created_at = DateTimeField()
        heard_at = DateTimeField(index=True)

    empty = SQL("DEFAULT ''")
    migrator.migrate(
        # With its default in the column itself the table need not be written anew.
        migrator.add_column(
            "document",
            "format",
            CharField(max_length=10, constraints=[SQL("DEFAULT 'text'")]),
            allow_not_null=True,
        ),
        migrator.add_column("document", "page_count", IntegerField(null=True)),
        migrator.add_column("document", "pages", TextField(constraints=[empty]), allow_not_null=True),
        migrator.add_column("document", "notes", TextField(constraints=[empty]), allow_not_null=True),
        migrator.add_column(
            "document", "digest", CharField(max_length=64, constraints=[empty]), allow_not_null=True
        ),
        migrator.add_index("document", ("owner_id", "digest")),
    )
    db.create_tables([Original, Reading])
    for (id,) in list(Document.select(Document.id).tuples()):
        text = Document.select(Document.text).where(Document.id == id).scalar()
        digest = sha256(text.encode()).hexdigest()
        db.execute_sql(f"UPDATE document SET digest = {db.param} WHERE id = {db.param}", (digest, id))
