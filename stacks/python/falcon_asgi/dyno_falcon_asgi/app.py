"""Falcon on ASGI with psycopg 3's asynchronous pool."""

import falcon
import falcon.asgi

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_psycopg_async_store import DATABASE_AWAY, Store, create_pool
from dyno_tasks_taskiq import tasks
from dyno_tasks_taskiq.app import broker


class Pool:
    """Opens the pool when the server starts the app, and gives each request its store."""

    async def process_startup(self, scope, event):
        self.pool = create_pool()
        await self.pool.open()

    async def process_shutdown(self, scope, event):
        await self.pool.close()

    async def process_request(self, req, resp):
        req.context.store = Store(self.pool)


class Broker:
    """Opens the broker's connections when the server starts the app."""

    async def process_startup(self, scope, event):
        await broker.startup()

    async def process_shutdown(self, scope, event):
        await broker.shutdown()


async def invalid(req, resp, error, params):
    resp.status = falcon.HTTP_422
    resp.media = {"detail": str(error)}


async def not_found(req, resp, error, params):
    resp.status = falcon.HTTP_404
    resp.media = {"detail": str(error)}


async def database_away(req, resp, error, params):
    resp.status = falcon.HTTP_503
    resp.media = {"detail": parameters.NO_DATABASE}


def http_error(req, resp, error):
    if error.status_code == 400:
        # Falcon says so of a form that it can't read; the contract says 422.
        resp.status = falcon.HTTP_422
    resp.content_type = falcon.MEDIA_JSON
    resp.media = {"detail": error.description or error.title}


async def greeted(req):
    name = req.get_param("name")
    if not name and (req.content_type or "").startswith(falcon.MEDIA_URLENCODED):
        name = (await req.get_media(default_when_empty={})).get("name")
    return name


class Hello:
    async def on_get(self, req, resp):
        resp.text = hello.hello(await greeted(req))
        resp.content_type = hello.TEXT

    on_post = on_get


class HelloHtml:
    async def on_get(self, req, resp):
        resp.text = hello.hello_html(await greeted(req))
        resp.content_type = hello.HTML

    on_post = on_get


class Heartbeat:
    async def on_get(self, req, resp):
        try:
            await req.context.store.ping()
        except DATABASE_AWAY as error:
            resp.status = falcon.HTTP_503
            resp.media = {"falcon-asgi-server": f"no database: {type(error).__name__}"}
        else:
            resp.media = {"falcon-asgi-server": "ok"}


class About:
    async def on_get(self, req, resp):
        resp.media = about("falcon-asgi", "falcon", "psycopg")


class Version:
    async def on_get(self, req, resp):
        resp.media = {"version": VERSION}


class Types:
    async def on_get(self, req, resp):
        resp.media = await req.context.store.types()


def page_of(req):
    return parameters.page(lambda name: req.get_param_as_list(name, default=[]))


class ContactsFor:
    async def on_get(self, req, resp):
        resp.media = await req.context.store.contacts_for(page_of(req))


class ContactsFetch:
    async def on_get(self, req, resp):
        resp.media = await req.context.store.contacts_fetch(page_of(req))


class Contact:
    async def on_get(self, req, resp, contact_id):
        resp.media = await req.context.store.contact(parameters.contact_id(contact_id))


class Contacts:
    async def on_post(self, req, resp):
        new = parameters.new_contact(await req.stream.read())
        resp.status = falcon.HTTP_201
        resp.media = await req.context.store.create(new)


class Fibonacci:
    async def on_get(self, req, resp, n):
        resp.media = {"result": fibonacci(parameters.fibonacci_n(n))}


class TaskStart:
    async def on_post(self, req, resp):
        resp.status = falcon.HTTP_202
        resp.media = await tasks.start(parameters.task_n(await req.stream.read()))


class TaskResult:
    async def on_get(self, req, resp, task_id):
        resp.media = await tasks.result(task_id)


app = falcon.asgi.App(middleware=[Pool(), Broker()])
app.set_error_serializer(http_error)
app.add_error_handler(parameters.Invalid, invalid)
app.add_error_handler(parameters.NotFound, not_found)
app.add_error_handler(DATABASE_AWAY, database_away)
app.add_route("/v1/hello", Hello())
app.add_route("/v2/hello", HelloHtml())
app.add_route("/heartbeat", Heartbeat())
app.add_route("/about", About())
app.add_route("/version", Version())
app.add_route("/types", Types())
app.add_route("/contacts/for", ContactsFor())
app.add_route("/contacts/fetch", ContactsFetch())
app.add_route("/contacts/{contact_id}", Contact())
app.add_route("/contacts", Contacts())
app.add_route("/fibonacci/{n}", Fibonacci())
app.add_route("/v1/tasks", TaskStart())
app.add_route("/v1/tasks/{task_id}", TaskResult())
