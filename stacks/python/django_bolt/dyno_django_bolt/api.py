"""The contract's operations on Django-Bolt."""

from contextlib import contextmanager
from typing import Annotated, Any

from asgiref.sync import sync_to_async
from django_bolt import JSON, BoltAPI
from django_bolt.exceptions import HTTPException, MethodNotAllowed
from django_bolt.openapi import OpenAPIConfig
from django_bolt.openapi.plugins import JsonRenderPlugin
from django_bolt.param_functions import Form, Path, Query
from django_bolt.responses import HTML, PlainText

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_django_bolt.schemas import (
    Contact,
    ContactType,
    Detail,
    NewContact,
    NewTask,
    Number,
    Task,
    TaskStarted,
    Version,
    contact_of,
)
from dyno_django_common import contacts
from dyno_tasks_celery import tasks


def format_error(error, request):
    """As Bolt itself has it, but for a body that isn't UTF-8, of which it says 500."""
    if isinstance(error.exception, UnicodeDecodeError):
        return JSON({"detail": "the body isn't UTF-8"}, 422)
    return JSON({"detail": error.errors or error.detail}, error.status)


api = BoltAPI(
    enable_logging=False,
    compression=False,
    error_formatter=format_error,
    openapi_config=OpenAPIConfig(
        title="django-bolt",
        version=VERSION,
        render_plugins=[JsonRenderPlugin(media_type="application/json")],
    ),
)


@contextmanager
def refusals():
    """The contract's refusals as Bolt's."""
    try:
        yield
    except parameters.Invalid as error:
        raise HTTPException(422, str(error)) from None
    except parameters.NotFound as error:
        raise HTTPException(404, str(error)) from None
    except contacts.DATABASE_AWAY:
        raise HTTPException(503, parameters.NO_DATABASE) from None


FormName = Annotated[str, Form(alias="name")]


@api.get("/v1/hello", response_class=PlainText)
async def hello_text(name: str = ""):
    return PlainText(hello.hello(name))


@api.post("/v1/hello", response_class=PlainText)
async def hello_text_post(name: str = "", form: FormName = ""):
    return PlainText(hello.hello(name or form))


@api.get("/v2/hello", response_class=HTML)
async def hello_html(name: str = ""):
    return HTML(hello.hello_html(name))


@api.post("/v2/hello", response_class=HTML)
async def hello_html_post(name: str = "", form: FormName = ""):
    return HTML(hello.hello_html(name or form))


@api.get("/heartbeat", response_model={200: dict[str, str], 503: dict[str, str]})
async def alive():
    try:
        await sync_to_async(contacts.ping, thread_sensitive=False)()
    except contacts.DATABASE_AWAY as error:
        return JSON(*heartbeat("django-bolt", error))
    return JSON(*heartbeat("django-bolt"))


@api.get("/about")
async def facts() -> dict[str, Any]:
    return about("django-bolt", "django-bolt", "psycopg")


@api.get("/version")
async def version() -> Version:
    return Version(VERSION)


@api.get("/types")
async def types() -> list[ContactType]:
    with refusals():
        return [ContactType(row.type_id, row.type_name) async for row in contacts.select_types()]


Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=parameters.LARGEST_INT8)]


def page_of(limit, offset, starts):
    # The declarations document and validate; what they can't say (NUL) is the core's to refuse.
    return parameters.page({"limit": [str(limit)], "offset": [str(offset)], "starts": [starts]}.get)


@api.get("/contacts/for", response_model={200: list[Contact], 422: Detail})
async def contacts_for(limit: Limit = 100, offset: Offset = 0, starts: str = ""):
    with refusals():
        # In one thread: between an asynchronous iterator's steps Bolt may give its connection away.
        rows = await sync_to_async(contacts.iterate_page)(page_of(limit, offset, starts))
        return [contact_of(row) for row in rows]


@api.get("/contacts/fetch", response_model={200: list[Contact], 422: Detail})
async def contacts_fetch(limit: Limit = 100, offset: Offset = 0, starts: str = ""):
    with refusals():
        return [contact_of(row) async for row in contacts.select_page(page_of(limit, offset, starts))]


@api.get("/contacts/{contact_id}", response_model={200: Contact, 404: Detail, 422: Detail})
async def contact(contact_id: int):
    with refusals():
        return contact_of(await sync_to_async(contacts.find)(parameters.contact_id(str(contact_id))))


@api.post("/contacts", status_code=201, response_model={201: Contact, 422: Detail})
async def contact_create(new: NewContact):
    with refusals():
        return contact_of(
            await sync_to_async(contacts.create)(new)
        )  # in one thread, as Django's transactions are


@api.get("/fibonacci/{n}", response_model={200: Number, 422: Detail})
async def fibonacci_of(n: Annotated[int, Path(ge=0, le=34)]):
    return Number(fibonacci(n))


# Celery's client waits for Redis, so it is asked in a thread.


@api.post("/v1/tasks", status_code=202, response_model={202: TaskStarted, 422: Detail})
async def task_start(new: NewTask):
    return TaskStarted(**await sync_to_async(tasks.start, thread_sensitive=False)(new.n))


@api.get("/v1/tasks/{id}", response_model={200: Task, 404: Detail})
async def task_result(id: str):
    with refusals():
        return Task(**await sync_to_async(tasks.result, thread_sensitive=False)(id))


async def method_not_allowed():
    raise MethodNotAllowed()


def refuse_other_methods():
    """Bolt answers 404 where a path has no route for the method; the contract wants 405."""
    routes = {"get": api.get, "post": api.post, "put": api.put, "patch": api.patch, "delete": api.delete}
    offered = {}
    for method, path, *_ in api._routes:
        offered.setdefault(path, set()).add(method.lower())
    for path, methods in offered.items():
        for method in routes.keys() - methods:
            routes[method](path, include_in_schema=False)(method_not_allowed)


refuse_other_methods()
