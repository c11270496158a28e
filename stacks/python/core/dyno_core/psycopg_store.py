"""The contract's database work on psycopg 3 and its pool, for apps whose requests run in threads.

No framework knows of this, so Flask, Bottle, Pyramid and Falcon differ in nothing but themselves.
"""

import atexit

from psycopg import OperationalError
from psycopg.errors import ForeignKeyViolation
from psycopg_pool import ConnectionPool

from dyno_core import contacts, parameters, settings
from dyno_core.sql import PERCENT as SQL

# Raised when the database is away: no connection in time (PoolTimeout is one of these), or one that broke.
DatabaseAway = OperationalError

# Each worker imports this after its fork, so the pool's threads and connections are its own. A connection
# that breaks fails the request that used it, and the pool replaces it. Connections aren't tried before each
# use (`check`), for that is one more round trip in each request.
pool = ConnectionPool(
    settings.DATABASE_URL,
    kwargs={
        "connect_timeout": settings.CONNECT_TIMEOUT,
        "prepare_threshold": settings.PREPARE_THRESHOLD,
    },
    min_size=settings.POOL_SIZE,
    max_size=settings.POOL_SIZE,
    timeout=settings.POOL_TIMEOUT,
    open=True,
)
# Else its threads hold up the end of the process for five seconds.
atexit.register(pool.close)


def ping():
    with pool.connection(timeout=settings.HEARTBEAT_TIMEOUT) as connection:
        connection.execute("select 1")


def types():
    with pool.connection() as connection:
        return [contacts.contact_type(row) for row in connection.execute(SQL.types)]


def contacts_for(page):
    """A page whose rows are iterated over a server-side cursor in a transaction."""
    statement, arguments = SQL.page(page)
    with pool.connection() as connection:
        with connection.cursor("page") as cursor:
            cursor.execute(statement, arguments)
            found = [contacts.contact(row) for row in cursor]
        return _with_details(connection, found)


def contacts_fetch(page):
    """A page whose rows are fetched at once."""
    statement, arguments = SQL.page(page)
    with pool.connection() as connection:
        rows = connection.execute(statement, arguments).fetchall()
        return _with_details(connection, [contacts.contact(row) for row in rows])


def contact(number):
    with pool.connection() as connection:
        return _find(connection, number)


def contact_create(new):
    """Stores a contact with its phones and emails, all or nothing, and reads it back."""
    try:
        with pool.connection() as connection:
            row = connection.execute(SQL.insert, (new.first_name, new.last_name, new.type_id)).fetchone()
            with connection.cursor() as cursor:
                cursor.executemany(SQL.insert_phone, [(row[0], phone) for phone in new.phones])
                cursor.executemany(SQL.insert_email, [(row[0], email) for email in new.emails])
            return _find(connection, row[0])
    except ForeignKeyViolation:
        raise parameters.unknown_type(new.type_id) from None


def _find(connection, number):
    row = connection.execute(SQL.one, (number,)).fetchone()
    if row is None:
        raise parameters.no_contact(number)
    return _with_details(connection, [contacts.contact(row)])[0]


def _with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = connection.execute(SQL.phones, (numbers,)).fetchall()
    emails = connection.execute(SQL.emails, (numbers,)).fetchall()
    return contacts.attach(page, phones, emails)
