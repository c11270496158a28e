"""The contract's database work on the Django ORM: a page is three statements, by eager loading."""

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.models import BooleanField, F, Func, Value
from django.db.models.functions import Lower

from dyno_core import parameters, settings
from dyno_django_common.models import Contact, ContactType, Email, Phone

# Raised when the database is away: by Django, and by the pool that ping() asks (PoolTimeout is one of these).
DATABASE_AWAY = (OperationalError, psycopg.OperationalError)

CONTACTS = Contact.objects.select_related("contact_type").prefetch_related("phones", "emails")


class LikePrefix(Func):
    """`a LIKE b` as written: Django's own `istartswith` uses upper(), which no index here serves."""

    template = "%(expressions)s"
    arg_joiner = " LIKE "
    output_field = BooleanField()


def select_types():
    return ContactType.objects.order_by("type_id")


def select_page(page):
    found = CONTACTS.order_by("contact_id")
    if page.starts:
        found = found.alias(lower=Lower("last_name")).filter(LikePrefix(F("lower"), Lower(Value(page.like))))
    return found[page.offset : page.offset + page.limit]


def iterate_page(page):
    """A page whose rows are iterated over a server-side cursor in a transaction."""
    with transaction.atomic():
        # One chunk of at most a page, for eager loading is done once for each chunk.
        return [contact for contact in select_page(page).iterator(chunk_size=page.limit)]


def find(number):
    try:
        return CONTACTS.get(contact_id=number)
    except Contact.DoesNotExist:
        raise parameters.no_contact(number) from None


def create(new):
    """Stores a contact with its phones and emails, all or nothing, and reads it back."""
    with transaction.atomic():
        if not ContactType.objects.filter(type_id=new.type_id).exists():
            raise parameters.unknown_type(new.type_id)
        stored = Contact.objects.create(
            first_name=new.first_name, last_name=new.last_name, contact_type_id=new.type_id
        )
        Phone.objects.bulk_create(Phone(contact=stored, phone_number=phone) for phone in new.phones)
        Email.objects.bulk_create(Email(contact=stored, email_address=email) for email in new.emails)
    return find(stored.contact_id)


def ping():
    """Asks the pool itself: Django would wait for a connection as long as any request does."""
    connection.pool.open()  # as Django does before it takes a connection
    with connection.pool.connection(timeout=settings.HEARTBEAT_TIMEOUT) as raw:
        raw.execute("select 1")
