"""FastAPI with SQLAlchemy 2's asynchronous ORM on asyncpg."""

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Request
from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from dyno_core import parameters, settings
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
    no_database,
)
from dyno_fastapi.tasks import celery_router
from dyno_fastapi_orm_asyncpg import models

NAME = "fastapi-orm-asyncpg"

# Raised when the database is away, besides DBAPIError, which may mean other things: a connection is refused,
# or none is to be had in time.
DATABASE_AWAY = (OSError, TimeoutError, PoolTimeout)


def database_url():
    parts = settings.database_parts(settings.DATABASE_URL)
    return URL.create(
        "postgresql+asyncpg",
        username=parts["user"],
        password=parts["password"],
        host=parts["host"],
        port=parts["port"],
        database=parts["dbname"],
    )


def connect_arguments():
    """Behind a pooler that forgets prepared statements none is kept, and no two have one name."""
    if settings.PREPARED_STATEMENTS:
        return {}
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
    }


engine = create_async_engine(
    database_url(),
    connect_args=connect_arguments(),
    pool_size=settings.POOL_SIZE,
    max_overflow=0,
    pool_timeout=settings.POOL_TIMEOUT,
)
Session = async_sessionmaker(engine, expire_on_commit=False)


async def connect():
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))


@asynccontextmanager
async def lifespan(app):
    # SQLAlchemy's pool has no minimum: connections that are used at once are opened at once.
    await asyncio.gather(*(connect() for _ in range(settings.POOL_SIZE)))
    yield
    await engine.dispose()


app = create_app(NAME, "asyncpg", lifespan, DATABASE_AWAY)
app.include_router(celery_router())


@app.exception_handler(DBAPIError)
async def database_error(request: Request, error: DBAPIError):
    # Without a statement it was raised while connecting; what the database says of a statement on a
    # connection that is still good is a fault of this app.
    if error.statement and not error.connection_invalidated:
        raise error
    return await no_database(request, error)


async def open_session():
    async with Session.begin() as session:
        yield session


# Scoped to the function, so that the connection is back in the pool before the answer is sent.
SessionOf = Annotated[AsyncSession, Depends(open_session, scope="function")]


def as_json(contact):
    return {
        "contact_id": contact.contact_id,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "contact_type": contact.contact_type,
        "phones": [phone.phone_number for phone in contact.phones],
        "emails": [email.email_address for email in contact.emails],
    }


def select_page(page):
    statement = select(models.Contact).order_by(models.Contact.contact_id)
    if page.starts:
        statement = statement.where(func.lower(models.Contact.last_name).like(func.lower(page.like)))
    return statement.limit(page.limit).offset(page.offset)


@app.get("/heartbeat", responses=DOWN)
async def heartbeat() -> dict[str, str]:
    try:
        async with asyncio.timeout(settings.HEARTBEAT_TIMEOUT):
            await connect()
    except (*DATABASE_AWAY, DBAPIError) as error:
        return heartbeat_answer(NAME, error)
    return heartbeat_answer(NAME)


@app.get("/types")
async def types(session: SessionOf) -> list[ContactType]:
    found = await session.scalars(select(models.ContactType).order_by(models.ContactType.type_id))
    return found.all()


@app.get("/contacts/for", responses=REFUSED)
async def contacts_for(page: PageOf, session: SessionOf) -> list[Contact]:
    # One chunk of at most a page, for eager loading is done once for each chunk.
    statement = select_page(page).execution_options(yield_per=page.limit)
    return [as_json(contact) async for contact in await session.stream_scalars(statement)]


@app.get("/contacts/fetch", responses=REFUSED)
async def contacts_fetch(page: PageOf, session: SessionOf) -> list[Contact]:
    return [as_json(contact) for contact in await session.scalars(select_page(page))]


async def find(session, number):
    contact = await session.get(models.Contact, number)
    if contact is None:
        raise parameters.no_contact(number)
    return as_json(contact)


@app.get("/contacts/{contact_id}", responses=REFUSED | UNKNOWN)
async def contact(contact_id: int, session: SessionOf) -> Contact:
    return await find(session, parameters.contact_id(str(contact_id)))


@app.post("/contacts", status_code=201, responses=REFUSED, dependencies=SMALL)
async def contact_create(new: NewContact, session: SessionOf) -> Contact:
    contact = models.Contact(
        first_name=new.first_name,
        last_name=new.last_name,
        type_id=new.type_id,
        phones=[models.Phone(phone_number=phone) for phone in new.phones],
        emails=[models.Email(email_address=email) for email in new.emails],
    )
    session.add(contact)
    try:
        await session.flush()
    except IntegrityError:
        raise parameters.unknown_type(new.type_id) from None
    number = contact.contact_id
    session.expunge_all()  # read back what the database has
    return await find(session, number)
