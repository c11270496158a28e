"""FastAPI with asyncpg and its pool."""

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from dyno_core import contacts, parameters, settings
from dyno_core.sql import NUMBERED as SQL
from dyno_fastapi import Contact, ContactType, NewContact, PageOf, create_app, heartbeat_answer

NAME = "fastapi-asyncpg"


@asynccontextmanager
async def lifespan(app):
    async with asyncpg.create_pool(
        settings.DATABASE_URL, min_size=settings.POOL_SIZE, max_size=settings.POOL_SIZE
    ) as app.state.pool:
        yield


app = create_app(NAME, "asyncpg", lifespan)


async def connect(request: Request):
    async with request.app.state.pool.acquire(timeout=settings.POOL_TIMEOUT) as connection:
        yield connection


# Scoped to the function, so that the connection is back in the pool before the answer is sent.
Connection = Annotated[asyncpg.Connection, Depends(connect, scope="function")]


async def with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = await connection.fetch(SQL.phones, numbers)
    emails = await connection.fetch(SQL.emails, numbers)
    return contacts.attach(page, phones, emails)


@app.get("/heartbeat")
async def heartbeat():
    try:
        async with asyncio.timeout(settings.HEARTBEAT_TIMEOUT):
            await app.state.pool.fetchval("select 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return heartbeat_answer(NAME, error)
    return heartbeat_answer(NAME)


@app.get("/types")
async def types(connection: Connection) -> list[ContactType]:
    return [contacts.contact_type(row) for row in await connection.fetch(SQL.types)]


@app.get("/contacts/for")
async def contacts_for(page: PageOf, connection: Connection) -> list[Contact]:
    statement, arguments = SQL.page(page)
    async with connection.transaction():
        found = [contacts.contact(row) async for row in connection.cursor(statement, *arguments)]
    return await with_details(connection, found)


@app.get("/contacts/fetch")
async def contacts_fetch(page: PageOf, connection: Connection) -> list[Contact]:
    statement, arguments = SQL.page(page)
    rows = await connection.fetch(statement, *arguments)
    return await with_details(connection, [contacts.contact(row) for row in rows])


async def find(connection, number):
    row = await connection.fetchrow(SQL.one, number)
    if row is None:
        raise parameters.no_contact(number)
    return (await with_details(connection, [contacts.contact(row)]))[0]


@app.get("/contacts/{contact_id}")
async def contact(contact_id: int, connection: Connection) -> Contact:
    return await find(connection, parameters.contact_id(str(contact_id)))


@app.post("/contacts", status_code=201)
async def contact_create(new: NewContact, connection: Connection) -> Contact:
    try:
        async with connection.transaction():
            number = await connection.fetchval(SQL.insert, new.first_name, new.last_name, new.type_id)
            await connection.executemany(SQL.insert_phone, [(number, phone) for phone in new.phones])
            await connection.executemany(SQL.insert_email, [(number, email) for email in new.emails])
    except asyncpg.ForeignKeyViolationError:
        raise parameters.unknown_type(new.type_id) from None
    return await find(connection, number)
