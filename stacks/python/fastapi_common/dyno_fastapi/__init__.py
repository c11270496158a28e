"""What the FastAPI apps share: models, parameters, and the routes that need no database."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.schemas import About, Detail, Number, Version

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Phone = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=r"^[^\x00]*$")]
Email = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


class ContactType(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    type_id: int
    type_name: str


class Contact(BaseModel):
    contact_id: int
    first_name: str
    last_name: str
    contact_type: ContactType
    phones: list[str]
    emails: list[str]


class NewContact(BaseModel):
    model_config = ConfigDict(strict=True)
    first_name: Name
    last_name: Name
    type_id: Annotated[int, Field(gt=0, le=parameters.LARGEST_INT4)]
    phones: list[Phone] = []
    emails: list[Email] = []


def page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    offset: Annotated[int, Query(ge=0, le=parameters.LARGEST_INT8)] = 0,
    starts: str = "",
) -> parameters.Page:
    # The declarations document and validate; what they can't say (given twice, NUL) is the core's to refuse.
    return parameters.page(request.query_params.getlist)


async def check_size(request: Request):
    parameters.check_size(await request.body())


PageOf = Annotated[parameters.Page, Depends(page)]
SMALL = [Depends(check_size)]
FormName = Annotated[str, Form(alias="name")]
N = Annotated[int, Path(ge=0, le=34)]


async def store_of(request: Request):
    return request.state.store


# The type is the driver's business: both stores answer alike.
StoreOf = Annotated[Any, Depends(store_of)]

# What the OpenAPI document says besides the 200 or 201.
REFUSED = {422: {"model": Detail, "description": "A parameter or the body is refused"}}
UNKNOWN = {404: {"model": Detail, "description": "Nothing has this number"}}
DOWN = {503: {"model": dict[str, str], "description": "No database"}}


async def no_database(request: Request, error: Exception):
    return JSONResponse({"detail": parameters.NO_DATABASE}, 503)


def new_app(name, driver, lifespan, database_away):
    """An app that refuses in the contract's words, with the routes that look at the process itself.

    `database_away` is what the driver raises without a database.
    """
    app = FastAPI(title=name, version=VERSION, lifespan=lifespan, redirect_slashes=False)

    @app.exception_handler(parameters.Invalid)
    async def invalid(request: Request, error: parameters.Invalid):
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(parameters.NotFound)
    async def not_found(request: Request, error: parameters.NotFound):
        return JSONResponse({"detail": str(error)}, 404)

    @app.exception_handler(RequestValidationError)
    async def refused(request: Request, error: RequestValidationError):
        # Without the input that FastAPI would repeat: it may be megabytes, or what JSON can't say (NaN, half
        # a surrogate pair).
        detail = [{name: one[name] for name in ("type", "loc", "msg")} for one in error.errors()]
        return JSONResponse({"detail": detail}, 422)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException):
        # FastAPI says 400 of a body that it can't read; the contract says 422.
        status = 422 if error.status_code == 400 else error.status_code
        return JSONResponse({"detail": error.detail}, status, error.headers)

    for away in database_away:
        app.add_exception_handler(away, no_database)

    @app.get("/about")
    async def facts() -> About:
        return about(name, "fastapi", driver)

    @app.get("/version")
    async def version() -> Version:
        return {"version": VERSION}

    return app


def create_app(name, driver, lifespan, database_away):
    """An app with its lifespan (which opens the pool) and all routes that need no database."""
    app = new_app(name, driver, lifespan, database_away)

    @app.get("/v1/hello", response_class=PlainTextResponse)
    async def hello_text(name: str = ""):
        return hello.hello(name)

    @app.post("/v1/hello", response_class=PlainTextResponse)
    async def hello_text_post(name: str = "", form: FormName = ""):
        return hello.hello(name or form)

    @app.get("/v2/hello", response_class=HTMLResponse)
    async def hello_html(name: str = ""):
        return hello.hello_html(name)

    @app.post("/v2/hello", response_class=HTMLResponse)
    async def hello_html_post(name: str = "", form: FormName = ""):
        return hello.hello_html(name or form)

    @app.get("/fibonacci/{n}", responses=REFUSED)
    async def fibonacci_of(n: N) -> Number:
        return {"result": fibonacci(n)}

    return app


def create_app_with_store(name, driver, lifespan, database_away):
    """An app on one of the asynchronous stores, which its lifespan yields as `store` of the state."""
    app = create_app(name, driver, lifespan, database_away)

    @app.get("/heartbeat", responses=DOWN)
    async def heartbeat(store: StoreOf) -> dict[str, str]:
        try:
            await store.ping()
        except database_away as error:
            return heartbeat_answer(name, error)
        return heartbeat_answer(name)

    @app.get("/types")
    async def types(store: StoreOf) -> list[ContactType]:
        return await store.types()

    @app.get("/contacts/for", responses=REFUSED)
    async def contacts_for(page: PageOf, store: StoreOf) -> list[Contact]:
        return await store.contacts_for(page)

    @app.get("/contacts/fetch", responses=REFUSED)
    async def contacts_fetch(page: PageOf, store: StoreOf) -> list[Contact]:
        return await store.contacts_fetch(page)

    @app.get("/contacts/{contact_id}", responses=REFUSED | UNKNOWN)
    async def contact(contact_id: int, store: StoreOf) -> Contact:
        return await store.contact(parameters.contact_id(str(contact_id)))

    @app.post("/contacts", status_code=201, responses=REFUSED, dependencies=SMALL)
    async def contact_create(new: NewContact, store: StoreOf) -> Contact:
        return await store.create(new)

    return app


def heartbeat_answer(name, error=None):
    """The heartbeat of an app that needs the database, with what was wrong with it."""
    if error is None:
        return JSONResponse({f"{name}-server": "ok"})
    return JSONResponse({f"{name}-server": f"no database: {type(error).__name__}"}, 503)
