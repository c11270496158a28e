"""Tornado on its own HTTP server, with psycopg 3's asynchronous pool."""

import asyncio
import json
import signal

import tornado.httpserver
import tornado.netutil
import tornado.process
import tornado.web

from dyno_core import VERSION, hello, parameters, settings
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_psycopg_async_store import DATABASE_AWAY, Store, create_pool
from dyno_tasks_taskiq import tasks


class Handler(tornado.web.RequestHandler):
    # Arguments are taken as they came: Tornado's own get_argument turns NUL into a blank.

    @property
    def store(self):
        return self.application.settings["store"]

    def write_json(self, value, status=200):
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))

    def page(self):
        def values(name):
            return [self.decode_argument(value, name) for value in self.request.query_arguments.get(name, [])]

        return parameters.page(values)

    def decode_argument(self, value, name=None):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise parameters.Invalid(f"{name} isn't UTF-8") from None

    def send_error(self, status_code=500, exc_info=None, **rest):
        error = exc_info[1] if exc_info else None
        if isinstance(error, parameters.Invalid):
            self.write_json({"detail": str(error)}, 422)
        elif isinstance(error, parameters.NotFound):
            self.write_json({"detail": str(error)}, 404)
        elif isinstance(error, DATABASE_AWAY):
            self.write_json({"detail": parameters.NO_DATABASE}, 503)
        else:
            super().send_error(status_code, exc_info=exc_info, **rest)

    def write_error(self, status_code, **rest):
        # Tornado says 400 of a form that it can't read; the contract says 422.
        self.write_json({"detail": self._reason}, 422 if status_code == 400 else status_code)

    def log_exception(self, kind, value, traceback):
        if not isinstance(value, (parameters.Invalid, parameters.NotFound, *DATABASE_AWAY)):
            super().log_exception(kind, value, traceback)


class Hello(Handler):
    def get(self):
        self.greet(self.name(self.request.query_arguments) or self.name(self.request.body_arguments))

    post = get

    def name(self, arguments):
        values = arguments.get("name")
        return self.decode_argument(values[0], "name") if values else None

    def greet(self, name):
        self.set_header("Content-Type", hello.TEXT)
        self.finish(hello.hello(name))


class HelloHtml(Hello):
    def greet(self, name):
        self.set_header("Content-Type", hello.HTML)
        self.finish(hello.hello_html(name))


class Heartbeat(Handler):
    async def get(self):
        try:
            await self.store.ping()
        except DATABASE_AWAY as error:
            self.write_json({"tornado-server": f"no database: {type(error).__name__}"}, 503)
        else:
            self.write_json({"tornado-server": "ok"})


class About(Handler):
    def get(self):
        self.write_json(about("tornado", "tornado", "psycopg"))


class Version(Handler):
    def get(self):
        self.write_json({"version": VERSION})


class Types(Handler):
    async def get(self):
        self.write_json(await self.store.types())


class ContactsFor(Handler):
    async def get(self):
        self.write_json(await self.store.contacts_for(self.page()))


class ContactsFetch(Handler):
    async def get(self):
        self.write_json(await self.store.contacts_fetch(self.page()))


class Contact(Handler):
    async def get(self, contact_id):
        self.write_json(await self.store.contact(parameters.contact_id(contact_id)))


class ContactCreate(Handler):
    async def post(self):
        new = parameters.new_contact(self.request.body)
        self.write_json(await self.store.create(new), 201)


class Unknown(Handler):
    def prepare(self):
        raise tornado.web.HTTPError(404)


class Fibonacci(Handler):
    def get(self, n):
        self.write_json({"result": fibonacci(parameters.fibonacci_n(n))})


class TaskStart(Handler):
    async def post(self):
        self.write_json(await tasks.start(parameters.task_n(self.request.body)), 202)


class TaskResult(Handler):
    async def get(self, task_id):
        self.write_json(await tasks.result(task_id))


ROUTES = [
    (r"/v1/hello", Hello),
    (r"/v2/hello", HelloHtml),
    (r"/heartbeat", Heartbeat),
    (r"/about", About),
    (r"/version", Version),
    (r"/types", Types),
    (r"/contacts/for", ContactsFor),
    (r"/contacts/fetch", ContactsFetch),
    (r"/contacts/([^/]+)", Contact),
    (r"/contacts", ContactCreate),
    (r"/fibonacci/([^/]+)", Fibonacci),
    (r"/v1/tasks", TaskStart),
    (r"/v1/tasks/([^/]+)", TaskResult),
]


async def serve(sockets):
    async with create_pool() as pool, tasks.running():
        app = tornado.web.Application(
            ROUTES, store=Store(pool), default_handler_class=Unknown, log_function=lambda handler: None
        )
        server = tornado.httpserver.HTTPServer(app, idle_connection_timeout=75)
        server.add_sockets(sockets)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        await ended.wait()
        server.stop()
        await server.close_all_connections()


def main():
    # As Tornado's documentation has it: bind, fork, then one loop in each process.
    sockets = tornado.netutil.bind_sockets(settings.PORT, settings.HOST, backlog=2048)
    tornado.process.fork_processes(settings.WORKERS, max_restarts=0)
    asyncio.run(serve(sockets))


main()
