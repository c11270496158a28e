"""The contract's statements on psycopg 3's asynchronous pool, like those on asyncpg's."""

from psycopg import OperationalError
from psycopg.errors import ForeignKeyViolation
from psycopg_pool import AsyncConnectionPool

from dyno_core import contacts, parameters, settings
from dyno_core.sql import PERCENT as SQL

# Raised when the database is away: no connection in time (PoolTimeout is one of these), or one that broke.
DATABASE_AWAY = (OperationalError,)


def create_pool():
    """A pool of this process's size; use it with `async with`. A connection that was lost is opened anew."""
    return AsyncConnectionPool(
        settings.DATABASE_URL,
        min_size=settings.POOL_SIZE,
        max_size=settings.POOL_SIZE,
        timeout=settings.POOL_TIMEOUT,
        kwargs={"prepare_threshold": settings.PREPARE_THRESHOLD},
        open=False,
    )


class Store:
    def __init__(self, pool):
        self.pool = pool

    async def ping(self):
        async with self.pool.connection(timeout=settings.HEARTBEAT_TIMEOUT) as connection:
            await connection.execute("select 1")

    async def types(self):
        async with self.pool.connection() as connection:
            return [contacts.contact_type(row) for row in await fetch(connection, SQL.types)]

    async def contacts_for(self, page):
        statement, arguments = SQL.page(page)
        async with self.pool.connection() as connection:
            # A cursor with a name is one on the server, within the connection's transaction.
            async with connection.cursor("page") as cursor:
                await cursor.execute(statement, arguments)
                found = [contacts.contact(row) async for row in cursor]
            return await with_details(connection, found)

    async def contacts_fetch(self, page):
        statement, arguments = SQL.page(page)
        async with self.pool.connection() as connection:
            rows = await fetch(connection, statement, *arguments)
            return await with_details(connection, [contacts.contact(row) for row in rows])

    async def contact(self, number):
        async with self.pool.connection() as connection:
            return await find(connection, number)

    async def create(self, new):
        try:
            async with self.pool.connection() as connection:
                arguments = (new.first_name, new.last_name, new.type_id)
                ((number,),) = await fetch(connection, SQL.insert, *arguments)
                async with connection.cursor() as cursor:
                    await cursor.executemany(SQL.insert_phone, [(number, phone) for phone in new.phones])
                    await cursor.executemany(SQL.insert_email, [(number, email) for email in new.emails])
                return await find(connection, number)
        except ForeignKeyViolation:
            raise parameters.unknown_type(new.type_id) from None


async def fetch(connection, statement, *arguments):
    return await (await connection.execute(statement, arguments)).fetchall()


async def with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = await fetch(connection, SQL.phones, numbers)
    emails = await fetch(connection, SQL.emails, numbers)
    return contacts.attach(page, phones, emails)


async def find(connection, number):
    rows = await fetch(connection, SQL.one, number)
    if not rows:
        raise parameters.no_contact(number)
    return (await with_details(connection, [contacts.contact(rows[0])]))[0]
