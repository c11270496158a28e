"""aiohttp with asyncpg and its pool."""

import json

from aiohttp import web

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_tasks_taskiq import tasks

routes = web.RouteTableDef()
STORE = web.AppKey("store", Store)


async def store_context(app):
    async with create_pool() as pool:
        app[STORE] = Store(pool)
        yield


async def tasks_context(app):
    async with tasks.running():
        yield


@web.middleware
async def refusals(request, handler):
    """The contract's refusals, and aiohttp's own (404, 405, 413), as JSON."""
    try:
        return await handler(request)
    except parameters.Invalid as error:
        return web.json_response({"detail": str(error)}, status=422)
    except parameters.NotFound as error:
        return web.json_response({"detail": str(error)}, status=404)
    except DATABASE_AWAY:
        return web.json_response({"detail": parameters.NO_DATABASE}, status=503)
    except web.HTTPClientError as error:
        error.content_type = "application/json"
        error.text = json.dumps({"detail": error.reason})
        raise


async def greeted(request):
    return request.query.get("name") or await form_name(request)


async def form_name(request):
    try:
        return (await request.post()).get("name")
    except (ValueError, LookupError):
        # Bytes that aren't text in the charset that they claim, or a charset or form that there isn't.
        raise parameters.Invalid("the form can't be read") from None


@routes.get("/v1/hello")
@routes.post("/v1/hello")
async def hello_text(request):
    return web.Response(text=hello.hello(await greeted(request)), content_type="text/plain")


@routes.get("/v2/hello")
@routes.post("/v2/hello")
async def hello_html(request):
    return web.Response(text=hello.hello_html(await greeted(request)), content_type="text/html")


@routes.get("/heartbeat")
async def heartbeat(request):
    try:
        await request.app[STORE].ping()
    except DATABASE_AWAY as error:
        return web.json_response({"aiohttp-server": f"no database: {type(error).__name__}"}, status=503)
    return web.json_response({"aiohttp-server": "ok"})


@routes.get("/about")
async def facts(request):
    return web.json_response(about("aiohttp", "aiohttp", "asyncpg"))


@routes.get("/version")
async def version(request):
    return web.json_response({"version": VERSION})


@routes.get("/types")
async def types(request):
    return web.json_response(await request.app[STORE].types())


def page_of(request):
    return parameters.page(lambda name: request.query.getall(name, []))


@routes.get("/contacts/for")
async def contacts_for(request):
    return web.json_response(await request.app[STORE].contacts_for(page_of(request)))


@routes.get("/contacts/fetch")
async def contacts_fetch(request):
    return web.json_response(await request.app[STORE].contacts_fetch(page_of(request)))


@routes.get("/contacts/{contact_id}")
async def contact(request):
    number = parameters.contact_id(request.match_info["contact_id"])
    return web.json_response(await request.app[STORE].contact(number))


@routes.post("/contacts")
async def contact_create(request):
    new = parameters.new_contact(await request.read())
    return web.json_response(await request.app[STORE].create(new), status=201)


@routes.get("/fibonacci/{n}")
async def fibonacci_of(request):
    return web.json_response({"result": fibonacci(parameters.fibonacci_n(request.match_info["n"]))})


@routes.post("/v1/tasks")
async def task_start(request):
    n = parameters.task_n(await request.read())
    return web.json_response(await tasks.start(n), status=202)


@routes.get("/v1/tasks/{task_id}")
async def task_result(request):
    return web.json_response(await tasks.result(request.match_info["task_id"]))


async def create_app():
    app = web.Application(middlewares=[refusals])
    app.add_routes(routes)
    app.cleanup_ctx.extend([store_context, tasks_context])
    return app
