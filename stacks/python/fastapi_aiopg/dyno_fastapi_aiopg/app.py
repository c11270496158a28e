"""FastAPI with aiopg (psycopg2 on asyncio) and its pool."""

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated

import aiopg
import psycopg2
from fastapi import Depends, Request
from psycopg2.errors import ForeignKeyViolation

from dyno_core import contacts, parameters, settings
from dyno_core.sql import PERCENT as SQL
from dyno_fastapi import (
    DOWN,
    REFUSED,
    SMALL,
    UNKNOWN,
    Contact,
    ContactType,
    NewContact,
    PageOf,
    create_app,
    heartbeat_answer,
)
from dyno_fastapi.tasks import celery_router

NAME = "fastapi-aiopg"

# Raised when the database is away. RuntimeError is uvloop's word for the descriptor of a connection that
# aiopg lost.
DATABASE_AWAY = (OSError, TimeoutError, RuntimeError, psycopg2.OperationalError, psycopg2.InterfaceError)


@asynccontextmanager
async def lifespan(app):
    async with aiopg.create_pool(
        settings.DATABASE_URL, minsize=settings.POOL_SIZE, maxsize=settings.POOL_SIZE
    ) as app.state.pool:
        yield


app = create_app(NAME, "aiopg", lifespan, DATABASE_AWAY)
app.include_router(celery_router())


async def open_cursor(request: Request):
    async with asyncio.timeout(settings.POOL_TIMEOUT):
        connection = await request.app.state.pool.acquire()
    try:
        async with connection.cursor() as cursor:
            yield cursor
    finally:
        await request.app.state.pool.release(connection)


# Scoped to the function, so that the connection is back in the pool before the answer is sent.
Cursor = Annotated[aiopg.Cursor, Depends(open_cursor, scope="function")]


async def fetch(cursor, statement, *arguments):
    await cursor.execute(statement, arguments)
    return await cursor.fetchall()


async def with_details(cursor, page):
    numbers = contacts.identifiers(page)
    # psycopg2 writes an empty list as '{}', which needs no type here: any() knows it from the column.
    phones = await fetch(cursor, SQL.phones, numbers)
    emails = await fetch(cursor, SQL.emails, numbers)
    return contacts.attach(page, phones, emails)


@app.get("/heartbeat", responses=DOWN)
async def heartbeat() -> dict[str, str]:
    try:
        async with asyncio.timeout(settings.HEARTBEAT_TIMEOUT):
            async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("select 1")
    except DATABASE_AWAY as error:
        return heartbeat_answer(NAME, error)
    return heartbeat_answer(NAME)


@app.get("/types")
async def types(cursor: Cursor) -> list[ContactType]:
    return [contacts.contact_type(row) for row in await fetch(cursor, SQL.types)]


@app.get("/contacts/for", responses=REFUSED)
async def contacts_for(page: PageOf, cursor: Cursor) -> list[Contact]:
    # psycopg2 has no server-side cursors on asynchronous connections: the rows are all here when
    # the iteration begins.
    statement, arguments = SQL.page(page)
    await cursor.execute(statement, arguments)
    found = [contacts.contact(row) async for row in cursor]
    return await with_details(cursor, found)


@app.get("/contacts/fetch", responses=REFUSED)
async def contacts_fetch(page: PageOf, cursor: Cursor) -> list[Contact]:
    statement, arguments = SQL.page(page)
    rows = await fetch(cursor, statement, *arguments)
    return await with_details(cursor, [contacts.contact(row) for row in rows])


async def find(cursor, number):
    rows = await fetch(cursor, SQL.one, number)
    if not rows:
        raise parameters.no_contact(number)
    return (await with_details(cursor, [contacts.contact(rows[0])]))[0]


@app.get("/contacts/{contact_id}", responses=REFUSED | UNKNOWN)
async def contact(contact_id: int, cursor: Cursor) -> Contact:
    return await find(cursor, parameters.contact_id(str(contact_id)))


@app.post("/contacts", status_code=201, responses=REFUSED, dependencies=SMALL)
async def contact_create(new: NewContact, cursor: Cursor) -> Contact:
    try:
        async with cursor.begin():
            ((number,),) = await fetch(cursor, SQL.insert, new.first_name, new.last_name, new.type_id)
            for phone in new.phones:
                await cursor.execute(SQL.insert_phone, (number, phone))
            for email in new.emails:
                await cursor.execute(SQL.insert_email, (number, email))
    except ForeignKeyViolation:
        raise parameters.unknown_type(new.type_id) from None
    return await find(cursor, number)
