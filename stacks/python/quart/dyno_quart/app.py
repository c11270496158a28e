"""Quart with asyncpg and its pool."""

from quart import Quart, Response, current_app, request
from werkzeug.exceptions import HTTPException

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_tasks_taskiq import tasks

app = Quart(__name__)


@app.while_serving
async def lifespan():
    async with create_pool() as pool, tasks.running():
        app.store = Store(pool)
        yield


@app.errorhandler(parameters.Invalid)
async def invalid(error):
    return {"detail": str(error)}, 422


@app.errorhandler(parameters.NotFound)
async def not_found(error):
    return {"detail": str(error)}, 404


async def database_away(error):
    return {"detail": parameters.NO_DATABASE}, 503


for away in DATABASE_AWAY:
    app.register_error_handler(away, database_away)


@app.errorhandler(HTTPException)
async def http_error(error):
    # Its headers (a 405 has `Allow`), but not its HTML.
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    return {"detail": error.description}, error.code, headers


async def greeted():
    return request.args.get("name") or (await request.form).get("name")


@app.route("/v1/hello", methods=["GET", "POST"])
async def hello_text():
    return Response(hello.hello(await greeted()), content_type=hello.TEXT)


@app.route("/v2/hello", methods=["GET", "POST"])
async def hello_html():
    return Response(hello.hello_html(await greeted()), content_type=hello.HTML)


@app.get("/heartbeat")
async def heartbeat():
    try:
        await current_app.store.ping()
    except DATABASE_AWAY as error:
        return {"quart-server": f"no database: {type(error).__name__}"}, 503
    return {"quart-server": "ok"}


@app.get("/about")
async def facts():
    return about("quart", "quart", "asyncpg")


@app.get("/version")
async def version():
    return {"version": VERSION}


@app.get("/types")
async def types():
    return await current_app.store.types()


@app.get("/contacts/for")
async def contacts_for():
    return await current_app.store.contacts_for(parameters.page(request.args.getlist))


@app.get("/contacts/fetch")
async def contacts_fetch():
    return await current_app.store.contacts_fetch(parameters.page(request.args.getlist))


@app.get("/contacts/<contact_id>")
async def contact(contact_id):
    return await current_app.store.contact(parameters.contact_id(contact_id))


@app.post("/contacts")
async def contact_create():
    return await current_app.store.create(parameters.new_contact(await request.get_data())), 201


@app.get("/fibonacci/<n>")
async def fibonacci_of(n):
    return {"result": fibonacci(parameters.fibonacci_n(n))}


@app.post("/v1/tasks")
async def task_start():
    return await tasks.start(parameters.task_n(await request.get_data())), 202


@app.get("/v1/tasks/<task_id>")
async def task_result(task_id):
    return await tasks.result(task_id)
