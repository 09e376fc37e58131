"""Who did what and when: it stays when what it was done to is deleted."""

from __future__ import annotations

from peewee import CharField, DateTimeField, IntegerField

from records.base import Record, now


class Event(Record):
    """One thing that somebody did, or tried to do; `name` is the person's at that time."""

    at = DateTimeField(default=now, index=True)
    user_id = IntegerField(null=True)
    name = CharField(max_length=200, default="")
    action = CharField(max_length=40)
    document_id = IntegerField(null=True)
    analysis_id = IntegerField(null=True)
    detail = CharField(max_length=200, default="")
    address = CharField(max_length=64, default="")
