"""Robyn on its own Rust server, with asyncpg and its pool."""

import logging
from typing import Any, Literal
from urllib.parse import parse_qs, unquote_plus

from pydantic import BaseModel
from robyn import Headers, Request, Response, Robyn, jsonify
from robyn.openapi import OpenAPI, OpenAPIInfo
from robyn.robyn import HttpMethod, QueryParams
from robyn.types import Body

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters, settings
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_tasks_taskiq import tasks
from dyno_tasks_taskiq.app import broker


class ContactType(BaseModel):
    type_id: int
    type_name: str


class Contact(BaseModel):
    contact_id: int
    first_name: str
    last_name: str
    contact_type: ContactType
    phones: list[str]
    emails: list[str]


# Not a pydantic model: of one that is refused Robyn repeats the input, and fails on a number beyond 64 bits.
class NewContact(Body):
    first_name: str
    last_name: str
    type_id: int
    phones: list[str]
    emails: list[str]


class NewTask(Body):
    n: int


class TaskStarted(BaseModel):
    task_id: str


class Task(BaseModel):
    task_id: str
    state: str
    result: int | None


class Detail(BaseModel):
    detail: Any


class Version(BaseModel):
    version: Literal["1.0.0"]


class Result(BaseModel):
    result: int


class NameQuery(QueryParams):
    name: str


class PageQuery(QueryParams):
    limit: int
    offset: int
    starts: str


METHODS = [HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE]

INVALID = {422: {"description": "A parameter or the body is refused.", "model": Detail}}
NOT_FOUND = {404: {"description": "Nothing has this number.", "model": Detail}}

app = Robyn(__file__, openapi=OpenAPI(OpenAPIInfo(title="robyn", version=VERSION)))


def as_json(value, status):
    return Response(status, Headers({"Content-Type": "application/json"}), jsonify(value))


# Before the routes, which take the handler that there is when they are made.
@app.exception
def handle(error):
    if isinstance(error, parameters.Invalid):
        return as_json({"detail": str(error)}, 422)
    if isinstance(error, parameters.NotFound):
        return as_json({"detail": str(error)}, 404)
    if isinstance(error, DATABASE_AWAY):
        return as_json({"detail": parameters.NO_DATABASE}, 503)
    logging.error("a request failed", exc_info=error)
    return as_json({"detail": "internal server error"}, 500)


# Each process opens its own connections on its own loop.
@app.startup_handler
async def open_connections():
    global store
    store = Store(await create_pool())
    await broker.startup()


def values(query_params, name):
    """All values of a parameter. Robyn hands them over as they were sent, percent-encoded."""
    return [unquote_plus(value) for value in query_params.get_all(name) or []]


def greeted(request):
    names = values(request.query_params, "name") or form(request).get("name")
    return names[0] if names else None


def form(request):
    # Robyn's form_data is for multipart only.
    if not (request.headers.get("content-type") or "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = request.body
    return parse_qs(body if isinstance(body, str) else body.decode(errors="replace"))


def hello_text(request: Request, query_params: NameQuery) -> Response:
    return Response(200, Headers({"Content-Type": hello.TEXT}), hello.hello(greeted(request)))


def hello_html(request: Request, query_params: NameQuery) -> Response:
    return Response(200, Headers({"Content-Type": hello.HTML}), hello.hello_html(greeted(request)))


app.get("/v1/hello")(hello_text)
app.post("/v1/hello")(hello_text)
app.get("/v2/hello")(hello_html)
app.post("/v2/hello")(hello_html)


@app.get("/heartbeat", responses={503: {"description": "The database can't be reached.", "model": dict}})
async def heartbeat() -> dict[str, str]:
    try:
        await store.ping()
    except DATABASE_AWAY as error:
        return as_json({"robyn-server": f"no database: {type(error).__name__}"}, 503)
    return {"robyn-server": "ok"}


@app.get("/about")
async def facts() -> dict:
    return about("robyn", "robyn", "asyncpg")


@app.get("/version")
async def version() -> Version:
    return {"version": VERSION}


@app.get("/types")
async def types() -> list[ContactType]:
    return await store.types()


def page_of(query_params):
    return parameters.page(lambda name: values(query_params, name))


@app.get("/contacts/for", responses=INVALID)
async def contacts_for(query_params: PageQuery) -> list[Contact]:
    return await store.contacts_for(page_of(query_params))


@app.get("/contacts/fetch", responses=INVALID)
async def contacts_fetch(query_params: PageQuery) -> list[Contact]:
    return await store.contacts_fetch(page_of(query_params))


@app.get("/contacts/:contact_id", responses=NOT_FOUND | INVALID)
async def contact(contact_id: str) -> Contact:
    return await store.contact(parameters.contact_id(contact_id))


@app.post("/contacts", status_code=201, responses=INVALID)
async def contact_create(body: NewContact) -> Contact:
    return await store.create(parameters.new_contact(body))


@app.get("/fibonacci/:n", responses=INVALID)
async def fibonacci_of(n: str) -> Result:
    return {"result": fibonacci(parameters.fibonacci_n(n))}


@app.post("/v1/tasks", status_code=202, responses=INVALID)
async def task_start(body: NewTask) -> TaskStarted:
    return await tasks.start(parameters.task_n(body))


@app.get("/v1/tasks/:id", responses=NOT_FOUND)
async def task_result(id: str) -> Task:
    return await tasks.result(id)


def method_not_allowed(request: Request) -> Response:
    return as_json({"detail": "method not allowed"}, 405)


def refuse_other_methods():
    """Robyn answers 404 where a path has no route for the method; the contract wants 405."""
    offered = {}
    for route in app.router.routes:
        offered.setdefault(route.route, set()).add(route.route_type)
    for path, methods in offered.items():
        for method in METHODS:
            if method not in methods:
                app.add_route(method, path, method_not_allowed, include_in_schema=False)


refuse_other_methods()

if __name__ == "__main__":
    app.start(host=settings.HOST, port=settings.PORT)
