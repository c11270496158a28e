"""Flask with psycopg 3 and a connection pool."""

from flask import Flask, Response, jsonify, request
from psycopg import Error as DatabaseError
from psycopg.errors import ForeignKeyViolation
from psycopg_pool import ConnectionPool, PoolTimeout

from dyno_core import VERSION, contacts, hello, parameters, settings
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.sql import PERCENT as SQL

# Each worker imports the app after its fork, so the pool's threads and connections are its own.
pool = ConnectionPool(
    settings.DATABASE_URL,
    min_size=settings.POOL_SIZE,
    max_size=settings.POOL_SIZE,
    timeout=settings.POOL_TIMEOUT,
    open=True,
)

app = Flask(__name__)


@app.errorhandler(parameters.Invalid)
def invalid(error):
    return jsonify(detail=str(error)), 422


@app.errorhandler(parameters.NotFound)
def not_found(error):
    return jsonify(detail=str(error)), 404


def greeted():
    return request.args.get("name") or request.form.get("name")


@app.route("/v1/hello", methods=["GET", "POST"])
def hello_text():
    return Response(hello.hello(greeted()), content_type=hello.TEXT)


@app.route("/v2/hello", methods=["GET", "POST"])
def hello_html():
    return Response(hello.hello_html(greeted()), content_type=hello.HTML)


@app.get("/heartbeat")
def heartbeat():
    try:
        with pool.connection(timeout=settings.HEARTBEAT_TIMEOUT) as connection:
            connection.execute("select 1")
    except (DatabaseError, PoolTimeout) as error:
        return {"flask-server": f"no database: {type(error).__name__}"}, 503
    return {"flask-server": "ok"}


@app.get("/about")
def facts():
    return about("flask", "flask", "psycopg")


@app.get("/version")
def version():
    return {"version": VERSION}


@app.get("/types")
def types():
    with pool.connection() as connection:
        return jsonify([contacts.contact_type(row) for row in connection.execute(SQL.types)])


def with_details(connection, page):
    numbers = contacts.identifiers(page)
    phones = connection.execute(SQL.phones, (numbers,)).fetchall()
    emails = connection.execute(SQL.emails, (numbers,)).fetchall()
    return contacts.attach(page, phones, emails)


@app.get("/contacts/for")
def contacts_for():
    statement, arguments = SQL.page(parameters.page(request.args.getlist))
    with pool.connection() as connection:
        with connection.cursor("page") as cursor:
            cursor.execute(statement, arguments)
            page = [contacts.contact(row) for row in cursor]
        return jsonify(with_details(connection, page))


@app.get("/contacts/fetch")
def contacts_fetch():
    statement, arguments = SQL.page(parameters.page(request.args.getlist))
    with pool.connection() as connection:
        rows = connection.execute(statement, arguments).fetchall()
        return jsonify(with_details(connection, [contacts.contact(row) for row in rows]))


def find(connection, number):
    row = connection.execute(SQL.one, (number,)).fetchone()
    if row is None:
        raise parameters.no_contact(number)
    return with_details(connection, [contacts.contact(row)])[0]


@app.get("/contacts/<contact_id>")
def contact(contact_id):
    number = parameters.contact_id(contact_id)
    with pool.connection() as connection:
        return find(connection, number)


@app.post("/contacts")
def contact_create():
    new = parameters.new_contact(request.get_data())
    try:
        with pool.connection() as connection:
            row = connection.execute(SQL.insert, (new.first_name, new.last_name, new.type_id)).fetchone()
            with connection.cursor() as cursor:
                cursor.executemany(SQL.insert_phone, [(row[0], phone) for phone in new.phones])
                cursor.executemany(SQL.insert_email, [(row[0], email) for email in new.emails])
            return find(connection, row[0]), 201
    except ForeignKeyViolation:
        raise parameters.unknown_type(new.type_id) from None


@app.get("/fibonacci/<n>")
def fibonacci_of(n):
    return {"result": fibonacci(parameters.fibonacci_n(n))}
