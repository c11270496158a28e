"""Litestar with asyncpg and its pool."""

from contextlib import asynccontextmanager
from typing import Annotated

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.params import Body, Parameter
from msgspec import Meta, Struct

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.schemas import About, Contact, ContactType, Detail, Number, Task, TaskStarted, Version
from dyno_tasks_taskiq import tasks

NO_NUL = r"^[^\x00]*$"


class NewContact(Struct):
    first_name: Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]
    last_name: Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]
    type_id: Annotated[int, Meta(gt=0, le=parameters.LARGEST_INT4)]
    phones: list[Annotated[str, Meta(min_length=1, max_length=30, pattern=NO_NUL)]] = []
    emails: list[Annotated[str, Meta(min_length=1, max_length=256, pattern=NO_NUL)]] = []


class NewTask(Struct):
    n: Annotated[int, Meta(ge=0, le=parameters.LARGEST_N)]


class HelloForm(Struct, frozen=True):
    name: str = ""


NOBODY = HelloForm()
REFUSED = {
    422: ResponseSpec(Detail, description="A parameter or the body is refused", generate_examples=False)
}
UNKNOWN = {404: ResponseSpec(Detail, description="Nothing has this number", generate_examples=False)}
DOWN = {503: ResponseSpec(dict[str, str], description="No database", generate_examples=False)}

Form = Annotated[HelloForm, Body(media_type=RequestEncodingType.URL_ENCODED)]


@asynccontextmanager
async def lifespan(app: Litestar):
    async with create_pool() as pool, tasks.running():
        app.state.store = Store(pool)
        yield


async def store_of(state: State) -> Store:
    return state.store


async def page_of(
    request: Request,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 100,
    offset: Annotated[int, Parameter(ge=0, le=parameters.LARGEST_INT8)] = 0,
    starts: str = "",
) -> parameters.Page:
    # The declarations document and validate; what they can't say (given twice, NUL) is the core's to refuse.
    return parameters.page(lambda name: request.query_params.getall(name, []))


def invalid(request: Request, error: parameters.Invalid) -> Response:
    return Response({"detail": str(error)}, status_code=422)


def not_found(request: Request, error: parameters.NotFound) -> Response:
    return Response({"detail": str(error)}, status_code=404)


def database_away(request: Request, error: Exception) -> Response:
    return Response({"detail": parameters.NO_DATABASE}, status_code=503)


def client_error(request: Request, error: ClientException) -> Response:
    """Litestar says 400 of what it can't validate; the contract says 422."""
    status = 422 if error.status_code == 400 else error.status_code
    content = {"detail": error.detail} | ({"extra": error.extra} if error.extra else {})
    return Response(content, status_code=status, headers=error.headers)


def unreadable(request: Request, error: Exception) -> Response:
    return Response({"detail": "the body isn't JSON"}, status_code=422)


# msgspec's words for bytes that aren't text, and for brackets too deep.
UNREADABLE = {UnicodeDecodeError: unreadable, RecursionError: unreadable}


@get("/v1/hello", media_type=MediaType.TEXT)
async def hello_text(name: str = "") -> str:
    return hello.hello(name)


@post("/v1/hello", media_type=MediaType.TEXT, status_code=200)
async def hello_text_post(name: str = "", data: Form = NOBODY) -> str:
    return hello.hello(name or data.name)


@get("/v2/hello", media_type=MediaType.HTML)
async def hello_html(name: str = "") -> str:
    return hello.hello_html(name)


@post("/v2/hello", media_type=MediaType.HTML, status_code=200)
async def hello_html_post(name: str = "", data: Form = NOBODY) -> str:
    return hello.hello_html(name or data.name)


@get("/heartbeat", responses=DOWN)
async def heartbeat(store: Store) -> Response[dict[str, str]]:
    try:
        await store.ping()
    except DATABASE_AWAY as error:
        return Response({"litestar-server": f"no database: {type(error).__name__}"}, status_code=503)
    return Response({"litestar-server": "ok"})


@get("/about")
async def facts() -> About:
    return about("litestar", "litestar", "asyncpg")


@get("/version")
async def version() -> Version:
    return {"version": VERSION}


@get("/types")
async def types(store: Store) -> list[ContactType]:
    return await store.types()


@get("/contacts/for", responses=REFUSED, dependencies={"page": Provide(page_of)})
async def contacts_for(store: Store, page: parameters.Page) -> list[Contact]:
    return await store.contacts_for(page)


@get("/contacts/fetch", responses=REFUSED, dependencies={"page": Provide(page_of)})
async def contacts_fetch(store: Store, page: parameters.Page) -> list[Contact]:
    return await store.contacts_fetch(page)


# `str` to the router, a number to the handler: what is none is refused (422) rather than no such path.
@get("/contacts/{contact_id:str}", responses=REFUSED | UNKNOWN)
async def contact(store: Store, contact_id: int) -> Contact:
    return await store.contact(parameters.contact_id(str(contact_id)))


@post("/contacts", responses=REFUSED, exception_handlers=UNREADABLE)
async def contact_create(store: Store, data: NewContact, body: bytes) -> Contact:
    # Litestar takes "1" for a number, and no setting forbids it: the core reads the body again, strictly.
    return await store.create(parameters.new_contact(body))


@get("/fibonacci/{n:str}", responses=REFUSED)
async def fibonacci_of(n: Annotated[int, Parameter(ge=0, le=34)]) -> Number:
    return {"result": fibonacci(n)}


@post("/v1/tasks", status_code=202, responses=REFUSED, exception_handlers=UNREADABLE)
async def task_start(data: NewTask, body: bytes) -> TaskStarted:
    return await tasks.start(parameters.task_n(body))


@get("/v1/tasks/{id:str}", responses=UNKNOWN)
async def task_result(id: str) -> Task:
    return await tasks.result(id)


app = Litestar(
    route_handlers=[
        hello_text,
        hello_text_post,
        hello_html,
        hello_html_post,
        heartbeat,
        facts,
        version,
        types,
        contacts_for,
        contacts_fetch,
        contact,
        contact_create,
        fibonacci_of,
        task_start,
        task_result,
    ],
    dependencies={"store": Provide(store_of)},
    exception_handlers={
        parameters.Invalid: invalid,
        parameters.NotFound: not_found,
        ClientException: client_error,
        **dict.fromkeys(DATABASE_AWAY, database_away),
    },
    lifespan=[lifespan],
    openapi_config=OpenAPIConfig(title="litestar", version=VERSION),
)
