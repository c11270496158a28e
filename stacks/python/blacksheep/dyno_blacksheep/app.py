"""BlackSheep with asyncpg and its pool."""

from dataclasses import dataclass
from urllib.parse import parse_qs

from blacksheep import Application, FromQuery, Request, Response, html, json, text
from blacksheep.exceptions import HTTPException
from blacksheep.server.bindings import BodyBinder, BoundValue
from blacksheep.server.openapi.common import ContentInfo, ResponseInfo
from blacksheep.server.openapi.v3 import OpenAPIHandler
from openapidocs.v3 import Info

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.schemas import About, Contact, ContactType, Detail, NewTask, Number, Task, TaskStarted, Version
from dyno_tasks_taskiq import tasks

app = Application()
docs = OpenAPIHandler(info=Info(title="blacksheep", version=VERSION))
docs.bind_app(app)
get, post = app.router.get, app.router.post


@dataclass
class HelloForm:
    name: str = ""


class FromHello(BoundValue[HelloForm]):
    """The form of a greeting, if one was sent."""


class HelloBinder(BodyBinder):
    handle = FromHello
    content_type = "application/x-www-form-urlencoded"

    async def get_value(self, request):
        # Not FromForm, which refuses a form whose fields are empty.
        return HelloForm((await request.form() or {}).get("name", ""))


class FromContact(BoundValue[parameters.NewContact]):
    """A new contact, read and checked by the core."""


class ContactBinder(BodyBinder):
    handle = FromContact
    content_type = "application/json"

    async def get_value(self, request):
        return parameters.new_contact(await request.read() or b"")


class FromTask(BoundValue[NewTask]):
    """A new task, read and checked by the core."""


class TaskBinder(BodyBinder):
    handle = FromTask
    content_type = "application/json"

    async def get_value(self, request):
        return NewTask(parameters.task_n(await request.read() or b""))


def answer(description, kind, content_type="application/json"):
    return ResponseInfo(description, content=[ContentInfo(kind, content_type=content_type)])


GREETED = {200: answer("The greeting", str, "text/plain")}
GREETED_HTML = {200: answer("The greeting", str, "text/html; charset=utf-8")}
REFUSED = answer("A parameter or the body is refused", Detail)
CONTACTS = {200: answer("Contacts", list[Contact]), 422: REFUSED}


@app.lifespan
async def open_store():
    async with create_pool() as pool, tasks.running():
        # Handlers that ask for a Store are given this one.
        app.services.add_instance(Store(pool))
        yield


@app.exception_handler(parameters.Invalid)
async def invalid(self, request: Request, error: parameters.Invalid):
    return json({"detail": str(error)}, 422)


@app.exception_handler(parameters.NotFound)
async def not_found(self, request: Request, error: parameters.NotFound):
    return json({"detail": str(error)}, 404)


async def database_away(self, request: Request, error: Exception):
    return json({"detail": parameters.NO_DATABASE}, 503)


for away in DATABASE_AWAY:
    app.exceptions_handlers[away] = database_away


@app.exception_handler(400)
async def bad_request(self, request: Request, error: HTTPException):
    # BlackSheep says 400 of what it can't read; the contract says 422.
    return json({"detail": str(error)}, 422)


@app.exception_handler(UnicodeDecodeError)
async def not_text(self, request: Request, error: UnicodeDecodeError):
    return json({"detail": "the request isn't UTF-8"}, 422)


@app.exception_handler(404)
async def no_route(self, request: Request, error: HTTPException):
    # BlackSheep's router knows no 405: it is asked whether another method has the path.
    path = request.url.path
    allowed = [method.decode() for method in (b"GET", b"POST") if app.router.get_matching_route(method, path)]
    if not allowed:
        return json({"detail": "no such path"}, 404)
    refusal = json({"detail": f"the path takes {', '.join(allowed)}"}, 405)
    refusal.add_header(b"Allow", ", ".join(allowed).encode())
    return refusal


def greeted(name, form):
    return name.value or form.value.name


@docs(responses=GREETED)
@get("/v1/hello")
async def hello_text(name: FromQuery[str | None]) -> Response:
    return text(hello.hello(name.value))


@docs(responses=GREETED)
@post("/v1/hello")
async def hello_text_post(name: FromQuery[str | None], form: FromHello) -> Response:
    return text(hello.hello(greeted(name, form)))


@docs(responses=GREETED_HTML)
@get("/v2/hello")
async def hello_html(name: FromQuery[str | None]) -> Response:
    return html(hello.hello_html(name.value))


@docs(responses=GREETED_HTML)
@post("/v2/hello")
async def hello_html_post(name: FromQuery[str | None], form: FromHello) -> Response:
    return html(hello.hello_html(greeted(name, form)))


@docs(responses={200: answer("Alive", dict[str, str]), 503: answer("No database", dict[str, str])})
@get("/heartbeat")
async def heartbeat(store: Store) -> Response:
    try:
        await store.ping()
    except DATABASE_AWAY as error:
        return json({"blacksheep-server": f"no database: {type(error).__name__}"}, 503)
    return json({"blacksheep-server": "ok"})


@docs(responses={200: answer("Facts", About)})
@get("/about")
async def facts() -> Response:
    return json(about("blacksheep", "blacksheep", "asyncpg"))


@docs(responses={200: answer("The version", Version)})
@get("/version")
async def version() -> Response:
    return json({"version": VERSION})


@docs(responses={200: answer("Contact types", list[ContactType])})
@get("/types")
async def types(store: Store) -> Response:
    return json(await store.types())


def page_of(request):
    # The bound parameters document; the core decides, from a query in which `limit=` isn't left out.
    arguments = parse_qs((request.url.query or b"").decode(), keep_blank_values=True)
    return parameters.page(lambda name: arguments.get(name, []))


@docs(responses=CONTACTS)
@get("/contacts/for")
async def contacts_for(
    request: Request,
    store: Store,
    limit: FromQuery[int | None],
    offset: FromQuery[int | None],
    starts: FromQuery[str | None],
) -> Response:
    return json(await store.contacts_for(page_of(request)))


@docs(responses=CONTACTS)
@get("/contacts/fetch")
async def contacts_fetch(
    request: Request,
    store: Store,
    limit: FromQuery[int | None],
    offset: FromQuery[int | None],
    starts: FromQuery[str | None],
) -> Response:
    return json(await store.contacts_fetch(page_of(request)))


@docs(responses={200: answer("The contact", Contact), 404: answer("No such contact", Detail), 422: REFUSED})
@get("/contacts/{contact_id}")
async def contact(request: Request, contact_id: int, store: Store) -> Response:
    # The bound number documents; the core decides, for int() takes other scripts' digits.
    number = parameters.contact_id(request.route_values["contact_id"])
    return json(await store.contact(number))


@docs(responses={201: answer("The contact as stored", Contact), 422: REFUSED})
@post("/contacts")
async def contact_create(new: FromContact, store: Store) -> Response:
    return json(await store.create(new.value), 201)


@docs(responses={200: answer("The number", Number), 422: REFUSED})
@get("/fibonacci/{n}")
async def fibonacci_of(request: Request, n: int) -> Response:
    return json({"result": fibonacci(parameters.fibonacci_n(request.route_values["n"]))})


@docs(responses={202: answer("The task is on its way", TaskStarted), 422: REFUSED})
@post("/v1/tasks")
async def task_start(new: FromTask) -> Response:
    return json(await tasks.start(new.value.n), 202)


@docs(responses={200: answer("The task", Task), 404: answer("No such task", Detail)})
@get("/v1/tasks/{id}")
async def task_result(id: str) -> Response:
    return json(await tasks.result(id))
