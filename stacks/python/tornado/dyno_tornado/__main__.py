"""Tornado on its own HTTP server, with psycopg 3's asynchronous pool."""

import asyncio
import json
import signal

import tornado.httpserver
import tornado.netutil
import tornado.process
import tornado.web
from psycopg import Error as DatabaseError
from psycopg.errors import ForeignKeyViolation
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from dyno_core import VERSION, contacts, hello, parameters, settings
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.sql import PERCENT as SQL


class Handler(tornado.web.RequestHandler):
    @property
    def pool(self):
        return self.application.settings["pool"]

    def write_json(self, value, status=200):
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))

    def page(self):
        # Not get_query_arguments, which turns NUL into a blank.
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
        else:
            super().send_error(status_code, exc_info=exc_info, **rest)

    def log_exception(self, kind, value, traceback):
        if not isinstance(value, (parameters.Invalid, parameters.NotFound)):
            super().log_exception(kind, value, traceback)


class Hello(Handler):
    def get(self):
        name = self.get_query_argument("name", None, strip=False)
        name = name or self.get_body_argument("name", None, strip=False)
        self.greet(name)

    post = get

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
            async with self.pool.connection(timeout=settings.HEARTBEAT_TIMEOUT) as connection:
                await connection.execute("select 1")
        except (DatabaseError, PoolTimeout) as error:
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
        async with self.pool.connection() as connection:
            rows = await (await connection.execute(SQL.types)).fetchall()
        self.write_json([contacts.contact_type(row) for row in rows])


async def with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = await (await connection.execute(SQL.phones, (numbers,))).fetchall()
    emails = await (await connection.execute(SQL.emails, (numbers,))).fetchall()
    return contacts.attach(page, phones, emails)


class ContactsFor(Handler):
    async def get(self):
        statement, arguments = SQL.page(self.page())
        async with self.pool.connection() as connection:
            async with connection.cursor("page") as cursor:
                await cursor.execute(statement, arguments)
                page = [contacts.contact(row) async for row in cursor]
            found = await with_details(connection, page)
        self.write_json(found)


class ContactsFetch(Handler):
    async def get(self):
        statement, arguments = SQL.page(self.page())
        async with self.pool.connection() as connection:
            rows = await (await connection.execute(statement, arguments)).fetchall()
            found = await with_details(connection, [contacts.contact(row) for row in rows])
        self.write_json(found)


async def find(connection, number):
    row = await (await connection.execute(SQL.one, (number,))).fetchone()
    if row is None:
        raise parameters.no_contact(number)
    return (await with_details(connection, [contacts.contact(row)]))[0]


class Contact(Handler):
    async def get(self, contact_id):
        number = parameters.contact_id(contact_id)
        async with self.pool.connection() as connection:
            found = await find(connection, number)
        self.write_json(found)


class ContactCreate(Handler):
    async def post(self):
        new = parameters.new_contact(self.request.body)
        try:
            async with self.pool.connection() as connection:
                arguments = (new.first_name, new.last_name, new.type_id)
                (number,) = await (await connection.execute(SQL.insert, arguments)).fetchone()
                async with connection.cursor() as cursor:
                    await cursor.executemany(SQL.insert_phone, [(number, phone) for phone in new.phones])
                    await cursor.executemany(SQL.insert_email, [(number, email) for email in new.emails])
                stored = await find(connection, number)
        except ForeignKeyViolation:
            raise parameters.unknown_type(new.type_id) from None
        self.write_json(stored, 201)


class Fibonacci(Handler):
    def get(self, n):
        self.write_json({"result": fibonacci(parameters.fibonacci_n(n))})


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
]


async def serve(sockets):
    pool = AsyncConnectionPool(
        settings.DATABASE_URL,
        min_size=settings.POOL_SIZE,
        max_size=settings.POOL_SIZE,
        timeout=settings.POOL_TIMEOUT,
        open=False,
    )
    async with pool:
        app = tornado.web.Application(ROUTES, pool=pool, log_function=lambda handler: None)
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
