"""Sanic on its own server, with asyncpg and its pool."""

from sanic import Sanic, html, json, text
from sanic.exceptions import SanicException

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_tasks_taskiq import tasks
from dyno_tasks_taskiq.app import broker

app = Sanic("dyno_sanic", strict_slashes=True)


@app.before_server_start
async def open_pool(app):
    app.ctx.pool = await create_pool()
    app.ctx.store = Store(app.ctx.pool)


@app.after_server_stop
async def close_pool(app):
    await app.ctx.pool.close()


@app.before_server_start
async def open_broker(app):
    await broker.startup()


@app.after_server_stop
async def close_broker(app):
    await broker.shutdown()


@app.exception(parameters.Invalid)
async def invalid(request, error):
    return json({"detail": str(error)}, 422)


@app.exception(parameters.NotFound)
async def not_found(request, error):
    return json({"detail": str(error)}, 404)


@app.exception(*DATABASE_AWAY)
async def database_away(request, error):
    return json({"detail": parameters.NO_DATABASE}, 503)


@app.exception(SanicException)
async def refused(request, error):
    """Sanic's own refusals: 404, 405, 413."""
    return json({"detail": str(error)}, error.status_code, error.headers)


def greeted(request):
    return request.args.get("name") or (request.form or {}).get("name")


@app.route("/v1/hello", methods=["GET", "POST"])
async def hello_text(request):
    return text(hello.hello(greeted(request)))


@app.route("/v2/hello", methods=["GET", "POST"])
async def hello_html(request):
    return html(hello.hello_html(greeted(request)))


@app.get("/heartbeat")
async def heartbeat(request):
    try:
        await request.app.ctx.store.ping()
    except DATABASE_AWAY as error:
        return json({"sanic-server": f"no database: {type(error).__name__}"}, 503)
    return json({"sanic-server": "ok"})


@app.get("/about")
async def facts(request):
    return json(about("sanic", "sanic", "asyncpg"))


@app.get("/version")
async def version(request):
    return json({"version": VERSION})


@app.get("/types")
async def types(request):
    return json(await request.app.ctx.store.types())


def page_of(request):
    arguments = request.get_args(keep_blank_values=True)
    return parameters.page(lambda name: arguments.getlist(name, []))


@app.get("/contacts/for")
async def contacts_for(request):
    return json(await request.app.ctx.store.contacts_for(page_of(request)))


@app.get("/contacts/fetch")
async def contacts_fetch(request):
    return json(await request.app.ctx.store.contacts_fetch(page_of(request)))


@app.get("/contacts/<contact_id>")
async def contact(request, contact_id):
    return json(await request.app.ctx.store.contact(parameters.contact_id(contact_id)))


@app.post("/contacts")
async def contact_create(request):
    return json(await request.app.ctx.store.create(parameters.new_contact(request.body)), 201)


@app.get("/fibonacci/<n>")
async def fibonacci_of(request, n):
    return json({"result": fibonacci(parameters.fibonacci_n(n))})


@app.post("/v1/tasks")
async def task_start(request):
    return json(await tasks.start(parameters.task_n(request.body)), 202)


@app.get("/v1/tasks/<task_id>")
async def task_result(request, task_id):
    return json(await tasks.result(task_id))
