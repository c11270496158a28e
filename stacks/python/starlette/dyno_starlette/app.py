"""Starlette with asyncpg and its pool."""

from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_tasks_taskiq import tasks


@asynccontextmanager
async def lifespan(app):
    async with create_pool() as pool, tasks.running():
        yield {"store": Store(pool)}


async def invalid(request, error):
    return JSONResponse({"detail": str(error)}, 422)


async def not_found(request, error):
    return JSONResponse({"detail": str(error)}, 404)


async def database_away(request, error):
    return JSONResponse({"detail": parameters.NO_DATABASE}, 503)


async def http_error(request, error):
    # Starlette says 400 of a form that it can't read; the contract says 422.
    status = 422 if error.status_code == 400 else error.status_code
    return JSONResponse({"detail": error.detail}, status, error.headers)


async def greeted(request):
    name = request.query_params.get("name")
    if not name and request.method == "POST":
        async with request.form() as form:
            name = form.get("name")
    return name


async def hello_text(request):
    return PlainTextResponse(hello.hello(await greeted(request)))


async def hello_html(request):
    return HTMLResponse(hello.hello_html(await greeted(request)))


async def heartbeat(request):
    try:
        await request.state.store.ping()
    except DATABASE_AWAY as error:
        return JSONResponse({"starlette-server": f"no database: {type(error).__name__}"}, 503)
    return JSONResponse({"starlette-server": "ok"})


async def facts(request):
    return JSONResponse(about("starlette", "starlette", "asyncpg"))


async def version(request):
    return JSONResponse({"version": VERSION})


async def types(request):
    return JSONResponse(await request.state.store.types())


def page_of(request):
    return parameters.page(request.query_params.getlist)


async def contacts_for(request):
    return JSONResponse(await request.state.store.contacts_for(page_of(request)))


async def contacts_fetch(request):
    return JSONResponse(await request.state.store.contacts_fetch(page_of(request)))


async def contact(request):
    number = parameters.contact_id(request.path_params["contact_id"])
    return JSONResponse(await request.state.store.contact(number))


async def contact_create(request):
    new = parameters.new_contact(await request.body())
    return JSONResponse(await request.state.store.create(new), 201)


async def fibonacci_of(request):
    return JSONResponse({"result": fibonacci(parameters.fibonacci_n(request.path_params["n"]))})


async def task_start(request):
    return JSONResponse(await tasks.start(parameters.task_n(await request.body())), 202)


async def task_result(request):
    return JSONResponse(await tasks.result(request.path_params["task_id"]))


app = Starlette(
    routes=[
        Route("/v1/hello", hello_text, methods=["GET", "POST"]),
        Route("/v2/hello", hello_html, methods=["GET", "POST"]),
        Route("/heartbeat", heartbeat),
        Route("/about", facts),
        Route("/version", version),
        Route("/types", types),
        Route("/contacts/for", contacts_for),
        Route("/contacts/fetch", contacts_fetch),
        Route("/contacts/{contact_id}", contact),
        Route("/contacts", contact_create, methods=["POST"]),
        Route("/fibonacci/{n}", fibonacci_of),
        Route("/v1/tasks", task_start, methods=["POST"]),
        Route("/v1/tasks/{task_id}", task_result),
    ],
    exception_handlers={
        parameters.Invalid: invalid,
        parameters.NotFound: not_found,
        HTTPException: http_error,
        **dict.fromkeys(DATABASE_AWAY, database_away),
    },
    lifespan=lifespan,
)
# An unknown path is 404, whatever it ends with.
app.router.redirect_slashes = False
