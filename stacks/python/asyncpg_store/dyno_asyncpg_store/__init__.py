"""The contract's statements on asyncpg's pool, for the apps whose framework brings no database of its own."""

import asyncio

import asyncpg

from dyno_core import contacts, parameters, settings
from dyno_core.sql import NUMBERED as SQL

# Raised when the database is away: it refuses connections, gives none in time, says that it starts or stops,
# or broke a connection (InterfaceError is asyncpg's word for using one that is closed).
DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)


def create_pool():
    """A pool of this process's size; use it with `async with`. A connection that was lost is opened anew."""
    return asyncpg.create_pool(
        settings.DATABASE_URL,
        min_size=settings.POOL_SIZE,
        max_size=settings.POOL_SIZE,
        # asyncpg's own default, or none behind a pooler that forgets prepared statements.
        statement_cache_size=100 if settings.PREPARED_STATEMENTS else 0,
    )


class Store:
    def __init__(self, pool):
        self.pool = pool

    def connection(self):
        return self.pool.acquire(timeout=settings.POOL_TIMEOUT)

    async def ping(self):
        async with asyncio.timeout(settings.HEARTBEAT_TIMEOUT):
            await self.pool.fetchval("select 1")

    async def types(self):
        async with self.connection() as connection:
            return [contacts.contact_type(row) for row in await connection.fetch(SQL.types)]

    async def contacts_for(self, page):
        statement, arguments = SQL.page(page)
        async with self.connection() as connection:
            async with connection.transaction():
                found = [contacts.contact(row) async for row in connection.cursor(statement, *arguments)]
            return await with_details(connection, found)

    async def contacts_fetch(self, page):
        statement, arguments = SQL.page(page)
        async with self.connection() as connection:
            rows = await connection.fetch(statement, *arguments)
            return await with_details(connection, [contacts.contact(row) for row in rows])

    async def contact(self, number):
        async with self.connection() as connection:
            return await find(connection, number)

    async def create(self, new):
        async with self.connection() as connection:
            try:
                async with connection.transaction():
                    number = await connection.fetchval(SQL.insert, new.first_name, new.last_name, new.type_id)
                    await connection.executemany(SQL.insert_phone, [(number, phone) for phone in new.phones])
                    await connection.executemany(SQL.insert_email, [(number, email) for email in new.emails])
            except asyncpg.ForeignKeyViolationError:
                raise parameters.unknown_type(new.type_id) from None
            return await find(connection, number)


async def with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = await connection.fetch(SQL.phones, numbers)
    emails = await connection.fetch(SQL.emails, numbers)
    return contacts.attach(page, phones, emails)


async def find(connection, number):
    row = await connection.fetchrow(SQL.one, number)
    if row is None:
        raise parameters.no_contact(number)
    return (await with_details(connection, [contacts.contact(row)]))[0]
