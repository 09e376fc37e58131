"""What search finds, and what it does not find yet: all that is there, and from now on all that is new."""

from peewee import AutoField, ForeignKeyField, Model, SqliteDatabase
from playhouse.sqlite_ext import AutoIncrementField

# On SQLite a table that is written anew, as when a column is dropped, loses its triggers: make them again.
FTS5 = """
CREATE VIRTUAL TABLE {kind}_words USING fts5(head, body, tokenize = 'ascii');
CREATE TRIGGER {kind}_gone AFTER DELETE ON {kind} BEGIN
  DELETE FROM {kind}_words WHERE rowid = old.id; END
"""
TEXT_SEARCH = """
CREATE TABLE {kind}_words (
  id bigserial PRIMARY KEY, {kind}_id integer NOT NULL REFERENCES {kind} ON DELETE CASCADE, words tsvector);
CREATE INDEX {kind}_words_{kind}_id ON {kind}_words ({kind}_id);
CREATE INDEX {kind}_words_words ON {kind}_words USING gin (words) WITH (fastupdate = off)
"""
# Noted by the database itself, so that it is noted also of a process of an older version.
NEW = {
    "document_new": ("document", "INSERT"),
    "document_renamed": ("document", "UPDATE OF title"),
    "analysis_ended": ("analysis", "UPDATE OF ended_at"),
}


def up(migrator, db):
    is_sqlite = isinstance(db, SqliteDatabase)

    class Base(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Document(Base):
        pass

    class Analysis(Base):
        pass

    class Unsearched(Base):
        id = AutoIncrementField() if is_sqlite else AutoField()
        document = ForeignKeyField(Document, null=True, on_delete="CASCADE")
        analysis = ForeignKeyField(Analysis, null=True, on_delete="CASCADE")

    db.create_tables([Unsearched])
    for kind in ("document", "analysis"):
        for statement in (FTS5 if is_sqlite else TEXT_SEARCH).format(kind=kind).split(";\n"):
            db.execute_sql(statement)
    for name, (kind, event) in NEW.items():
        note = f"INSERT INTO unsearched ({kind}_id) VALUES (new.id)"
        if is_sqlite:
            db.execute_sql(f"CREATE TRIGGER {name} AFTER {event} ON {kind} BEGIN {note}; END")
        else:
            body = f"BEGIN {note}; RETURN NULL; END"
            db.execute_sql(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
            db.execute_sql(
                f"CREATE TRIGGER {name} AFTER {event} ON {kind} FOR EACH ROW EXECUTE FUNCTION {name}()"
            )
    # By these two all that a person has is listed, too.
    db.execute_sql("CREATE INDEX document_owner_id_title ON document (owner_id, lower(title), id)")
    db.execute_sql("CREATE INDEX document_owner_id_characters ON document (owner_id, characters, id)")
    db.execute_sql("CREATE INDEX analysis_owner_id_words ON analysis (owner_id, words, id)")
    db.execute_sql("INSERT INTO unsearched (document_id) SELECT id FROM document ORDER BY id")
    ended = "SELECT id FROM analysis WHERE ended_at IS NOT NULL ORDER BY id"
    db.execute_sql(f"INSERT INTO unsearched (analysis_id) {ended}")
