"""FastAPI with plain `def` endpoints, which it runs in threads, and psycopg 3's pool."""

from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi.responses import HTMLResponse, PlainTextResponse

from dyno_core import hello, parameters, settings
from dyno_core import psycopg_store as store
from dyno_core.fibonacci import fibonacci
from dyno_core.schemas import Number
from dyno_fastapi import (
    DOWN,
    REFUSED,
    SMALL,
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
from dyno_fastapi.tasks import celery_router

NAME = "fastapi-sync"


@asynccontextmanager
async def lifespan(app):
    # As many requests at work in a process as a threaded WSGI server would have; anyio's own limit is 40.
    current_default_thread_limiter().total_tokens = settings.THREADS
    yield


app = new_app(NAME, "psycopg", lifespan, [store.DatabaseAway])
app.include_router(celery_router())

# A connection is taken and given back within an endpoint, never by a dependency: one that waits in a thread
# for a connection could hold the thread that the connection's holder needs to go on.


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
def heartbeat() -> dict[str, str]:
    try:
        store.ping()
    except store.DatabaseAway as error:
        return heartbeat_answer(NAME, error)
    return heartbeat_answer(NAME)


@app.get("/types")
def types() -> list[ContactType]:
    return store.types()


@app.get("/contacts/for", responses=REFUSED)
def contacts_for(page: PageOf) -> list[Contact]:
    return store.contacts_for(page)


@app.get("/contacts/fetch", responses=REFUSED)
def contacts_fetch(page: PageOf) -> list[Contact]:
    return store.contacts_fetch(page)


@app.get("/contacts/{contact_id}", responses=REFUSED | UNKNOWN)
def contact(contact_id: int) -> Contact:
    return store.contact(parameters.contact_id(str(contact_id)))


@app.post("/contacts", status_code=201, responses=REFUSED, dependencies=SMALL)
def contact_create(new: NewContact) -> Contact:
    return store.contact_create(new)


@app.get("/fibonacci/{n}", responses=REFUSED)
def fibonacci_of(n: N) -> Number:
    return {"result": fibonacci(n)}
