"""What the FastAPI apps share: models, parameters, and the routes that need no database."""

from typing import Annotated

from fastapi import Depends, FastAPI, Form, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci

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
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    offset: Annotated[int, Query(ge=0, le=parameters.LARGEST_INT8)] = 0,
    starts: str = "",
) -> parameters.Page:
    if "\0" in starts:
        raise parameters.Invalid("starts must not contain NUL")
    return parameters.Page(limit, offset, starts)


PageOf = Annotated[parameters.Page, Depends(page)]


def create_app(name, driver, lifespan):
    """An app with its lifespan (which opens the pool) and all routes that need no database."""
    app = FastAPI(title=name, version=VERSION, lifespan=lifespan)

    @app.exception_handler(parameters.Invalid)
    async def invalid(request: Request, error: parameters.Invalid):
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(parameters.NotFound)
    async def not_found(request: Request, error: parameters.NotFound):
        return JSONResponse({"detail": str(error)}, 404)

    @app.get("/v1/hello", response_class=PlainTextResponse)
    async def hello_text(name: str = ""):
        return hello.hello(name)

    @app.post("/v1/hello", response_class=PlainTextResponse)
    async def hello_text_post(name: str = "", form: Annotated[str, Form(alias="name")] = ""):
        return hello.hello(name or form)

    @app.get("/v2/hello", response_class=HTMLResponse)
    async def hello_html(name: str = ""):
        return hello.hello_html(name)

    @app.post("/v2/hello", response_class=HTMLResponse)
    async def hello_html_post(name: str = "", form: Annotated[str, Form(alias="name")] = ""):
        return hello.hello_html(name or form)

    @app.get("/about")
    async def facts():
        return about(name, "fastapi", driver)

    @app.get("/version")
    async def version():
        return {"version": VERSION}

    @app.get("/fibonacci/{n}")
    async def fibonacci_of(n: str):
        return {"result": fibonacci(parameters.fibonacci_n(n))}

    return app


def heartbeat_answer(name, error=None):
    """The heartbeat of an app that needs the database, with what was wrong with it."""
    if error is None:
        return JSONResponse({f"{name}-server": "ok"})
    return JSONResponse({f"{name}-server": f"no database: {type(error).__name__}"}, 503)
