"""FastAPI with plain `def` endpoints, which it runs in threads, and psycopg 3's pool."""

from contextlib import asynccontextmanager
from typing import Annotated

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from psycopg import Error as DatabaseError
from psycopg.errors import ForeignKeyViolation
from psycopg_pool import ConnectionPool, PoolTimeout

from dyno_core import contacts, hello, parameters, settings
from dyno_core.fibonacci import fibonacci
from dyno_core.schemas import Number
from dyno_core.sql import PERCENT as SQL
from dyno_fastapi import (
    DOWN,
    REFUSED,
    UNKNOWN,
    Contact,
    ContactType,
    FormName,
    N,
    NewContact,
    PageOf,
    heartbeat_answer,
    new_app,
)

NAME = "fastapi-sync"


@asynccontextmanager
async def lifespan(app):
    # As many requests at work in a process as a threaded WSGI server would have; anyio's own limit is 40.
    current_default_thread_limiter().total_tokens = settings.THREADS
    with ConnectionPool(
        settings.DATABASE_URL,
        min_size=settings.POOL_SIZE,
        max_size=settings.POOL_SIZE,
        timeout=settings.POOL_TIMEOUT,
        open=False,
    ) as pool:
        yield {"pool": pool}


app = new_app(NAME, "psycopg", lifespan)


async def pool_of(request: Request):
    return request.state.pool


# The pool rather than a connection: a dependency in a thread that waits for a connection could hold the
# thread that the connection's holder needs to go on.
Pool = Annotated[ConnectionPool, Depends(pool_of)]


@app.get("/v1/hello", response_class=PlainTextResponse)
def hello_text(name: str = ""):
    return hello.hello(name)


@app.post("/v1/hello", response_class=PlainTextResponse)
def hello_text_post(name: str = "", form: FormName = ""):
    return hello.hello(name or form)


@app.get("/v2/hello", response_class=HTMLResponse)
def hello_html(name: str = ""):
    return hello.hello_html(name)


@app.post("/v2/hello", response_class=HTMLResponse)
def hello_html_post(name: str = "", form: FormName = ""):
    return hello.hello_html(name or form)


@app.get("/heartbeat", responses=DOWN)
def heartbeat(pool: Pool) -> dict[str, str]:
    try:
        with pool.connection(timeout=settings.HEARTBEAT_TIMEOUT) as connection:
            connection.execute("select 1")
    except (DatabaseError, PoolTimeout) as error:
        return heartbeat_answer(NAME, error)
    return heartbeat_answer(NAME)


@app.get("/types")
def types(pool: Pool) -> list[ContactType]:
    with pool.connection() as connection:
        return [contacts.contact_type(row) for row in connection.execute(SQL.types)]


def with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = connection.execute(SQL.phones, (numbers,)).fetchall()
    emails = connection.execute(SQL.emails, (numbers,)).fetchall()
    return contacts.attach(page, phones, emails)


@app.get("/contacts/for", responses=REFUSED)
def contacts_for(page: PageOf, pool: Pool) -> list[Contact]:
    statement, arguments = SQL.page(page)
    with pool.connection() as connection:
        with connection.cursor("page") as cursor:
            cursor.execute(statement, arguments)
            found = [contacts.contact(row) for row in cursor]
        return with_details(connection, found)


@app.get("/contacts/fetch", responses=REFUSED)
def contacts_fetch(page: PageOf, pool: Pool) -> list[Contact]:
    statement, arguments = SQL.page(page)
    with pool.connection() as connection:
        rows = connection.execute(statement, arguments).fetchall()
        return with_details(connection, [contacts.contact(row) for row in rows])


def find(connection, number):
    row = connection.execute(SQL.one, (number,)).fetchone()
    if row is None:
        raise parameters.no_contact(number)
    return with_details(connection, [contacts.contact(row)])[0]


@app.get("/contacts/{contact_id}", responses=REFUSED | UNKNOWN)
def contact(contact_id: int, pool: Pool) -> Contact:
    number = parameters.contact_id(str(contact_id))
    with pool.connection() as connection:
        return find(connection, number)


@app.post("/contacts", status_code=201, responses=REFUSED)
def contact_create(new: NewContact, pool: Pool) -> Contact:
    try:
        with pool.connection() as connection:
            row = connection.execute(SQL.insert, (new.first_name, new.last_name, new.type_id)).fetchone()
            with connection.cursor() as cursor:
                cursor.executemany(SQL.insert_phone, [(row[0], phone) for phone in new.phones])
                cursor.executemany(SQL.insert_email, [(row[0], email) for email in new.emails])
            return find(connection, row[0])
    except ForeignKeyViolation:
        raise parameters.unknown_type(new.type_id) from None


@app.get("/fibonacci/{n}", responses=REFUSED)
def fibonacci_of(n: N) -> Number:
    return {"result": fibonacci(n)}
