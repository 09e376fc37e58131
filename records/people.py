"""The people, and the browsers in which they are signed in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from unicodedata import normalize

from peewee import BooleanField, CharField, DateTimeField, ForeignKeyField

from records.base import Record, now
from storage import database, saving

SEEN_EVERY = timedelta(minutes=1)


class User(Record):
    """A person, known by `name` to colleagues and, where an identity provider says so, by its `subject`.

    Names that differ in capital letters only are one person's: most directories take either, and who is
    shut out under the one must not get in under the other. `shown_name` is how it is written.
    """

    name = CharField(unique=True)
    subject = CharField(max_length=500, null=True, unique=True)
    shown_name = CharField(max_length=200, default="")
    created_at = DateTimeField(default=now)
    seen_at = DateTimeField(null=True)
    disabled_at = DateTimeField(null=True)

    LOCAL = "local"
    MAX_NAME = 200

    @classmethod
    def local(cls) -> User:
        """Return the one person of an installation without sign-in."""
        return cls.named(cls.LOCAL)

    @classmethod
    def named(cls, name: str) -> User:
        """Return the person of a name, who is made when it is heard for the first time."""
        return cls.find_by_name(name) or cls._make(name)

    @classmethod
    def find_by_name(cls, name: str) -> User | None:
        """Return the person of a name, however it is capitalised, or None."""
        return cls.get_or_none(cls.name == cls.as_name(name))

    @classmethod
    def as_name(cls, name: str) -> str:
        """Return the one way in which a name is kept, or nothing for what is none: too long, or not text."""
        name = normalize("NFC", normalize("NFC", name.strip()).lower())
        return name if len(name) <= cls.MAX_NAME and name.isprintable() else ""

    @classmethod
    @saving
    def _make(cls, name: str) -> User:
        shown_name = "" if name == cls.as_name(name) else name.strip()
        return cls.get_or_create(name=cls.as_name(name), defaults={"shown_name": shown_name})[0]

    @classmethod
    @saving
    def of_subject(cls, subject: str, name: str, shown_name: str) -> User:
        """Return the person whom a provider knows by `subject`, who is made when first heard of.

        A name that somebody else has already gets a number: it proves nothing about who somebody is.
        """
        database.take_turns("subjects")
        person = cls.get_or_none(cls.subject == subject)
        if person is None:
            return cls.create(subject=subject, name=cls._free(cls.as_name(name)), shown_name=shown_name)
        if person.shown_name != shown_name:
            cls.update(shown_name=shown_name).where(cls.id == person.id).execute()
            person.shown_name = shown_name
        return person

    @classmethod
    def _free(cls, name: str) -> str:
        names = (f"{name} ({number})" if number > 1 else name for number in count(1))
        # The local person's name is nobody's who signs in.
        return next(name for name in names if name != cls.LOCAL and cls.find_by_name(name) is None)

    @classmethod
    def disabled_among(cls, ids: Iterable[int]) -> set[int]:
        """Return which of these people are shut out."""
        shut_out = cls.select(cls.id).where(cls.id.in_(list(ids)), cls.disabled_at.is_null(False))
        return {user.id for user in shut_out}

    @classmethod
    def find(cls, id: int) -> User | None:
        """Return a person, or None."""
        return cls.get_or_none(cls.id == id)

    @classmethod
    def listed(cls, limit: int, offset: int = 0) -> list[User]:
        """Return some people by their names."""
        return list(cls.select().order_by(cls.name).limit(limit).offset(offset))

    @saving
    def suspend(self) -> None:
        """Shut the person out, and sign them out wherever they are."""
        User.update(disabled_at=now()).where(User.id == self.id, User.disabled_at.is_null()).execute()
        Session.delete().where(Session.user == self.id).execute()

    @saving
    def let_in(self) -> None:
        """Shut the person out no longer."""
        User.update(disabled_at=None).where(User.id == self.id).execute()

    @saving
    def delete_traces(self) -> None:
        """Delete the person's sessions, files that are being read, and what is shared with them.

        What was spent and who did what stays, and for these the name.
        """
        # By their backrefs: these import people.
        readings, shares = self.reading_set.model, self.share_set.model
        Session.delete().where(Session.user == self.id).execute()
        readings.delete().where(readings.owner == self.id).execute()
        shares.delete().where(shares.user == self.id).execute()

    @property
    def is_disabled(self) -> bool:
        """Whether the person is shut out."""
        return self.disabled_at is not None

    def touch(self) -> None:
        """Note that the person was here, at most once a minute."""
        time = now()
        if self.seen_at is None or time - self.seen_at >= SEEN_EVERY:
            self._see(time)

    @saving
    def _see(self, time: datetime) -> None:
        User.update(seen_at=time).where(User.id == self.id).execute()

    def __str__(self) -> str:
        return self.shown_name or self.name


class Session(Record):
    """A browser in which a person is signed in: the cookie holds a token, this its `digest`.

    It lasts until `ends_at`, which a request moves on, though never past its full length.
    """

    user = ForeignKeyField(User, backref="sessions", on_delete="CASCADE")
    digest = CharField(max_length=64, unique=True)
    is_admin = BooleanField(default=False)
    created_at = DateTimeField(default=now)
    seen_at = DateTimeField(default=now)
    ends_at = DateTimeField(index=True)

    @classmethod
    @saving
    def begin(cls, user: User, is_admin: bool, length: timedelta, idle: timedelta) -> str:
        """Sign a person in and return the new token; what is over of others is deleted."""
        time, token = now(), secrets.token_urlsafe(32)
        cls.delete().where(cls.ends_at <= time).execute()
        cls.create(
            user=user,
            digest=_digest(token),
            is_admin=is_admin,
            created_at=time,
            seen_at=time,
            ends_at=time + min(length, idle),
        )
        User.update(seen_at=time).where(User.id == user.id).execute()
        return token

    @classmethod
    def find(cls, token: str) -> Session | None:
        """Return the session of a token with its `user`, or None when it is over."""
        mine = (cls.digest == _digest(token)) & (cls.ends_at > now())
        return cls.select(cls, User).join(User).where(mine).first()

    def touch(self, length: timedelta, idle: timedelta) -> None:
        """Note that its person was here, at most once a minute."""
        time = now()
        if time - self.seen_at >= SEEN_EVERY:
            self._see(time, min(self.created_at + length, time + idle))

    @saving
    def _see(self, time: datetime, ends_at: datetime) -> None:
        Session.update(seen_at=time, ends_at=ends_at).where(Session.id == self.id).execute()
        User.update(seen_at=time).where(User.id == self.user_id).execute()

    @classmethod
    @saving
    def end(cls, token: str) -> None:
        """Sign out the browser that holds a token."""
        cls.delete().where(cls.digest == _digest(token)).execute()

    @classmethod
    @saving
    def forget_over(cls) -> None:
        """Delete the sessions that are over."""
        cls.delete().where(cls.ends_at <= now()).execute()

    @classmethod
    def over(cls, ids: Iterable[int]) -> set[int]:
        """Return which of these sessions are over: signed out, too old or too long without a request."""
        asked = set(ids)
        going_on = cls.select(cls.id).where(cls.id.in_(list(asked)), cls.ends_at > now())
        return asked - {session.id for session in going_on}


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
