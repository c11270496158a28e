"""Bottle with psycopg 3 and a connection pool."""

import json
from functools import wraps

from bottle import Bottle, HTTPError, HTTPResponse, request, response

from dyno_core import VERSION, hello, parameters
from dyno_core import psycopg_store as store
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_tasks_celery import tasks

NAME = "bottle"
JSON = "application/json"


class Api(Bottle):
    """Every refusal is JSON: the contract's, and Bottle's own (404, 405, 413)."""

    def default_error_handler(self, error):
        response.content_type = JSON
        return json.dumps({"detail": error.body})


app = Api()


@app.install
def refusals(callback):
    """A Bottle plugin: the contract's exceptions as HTTP errors."""

    @wraps(callback)
    def wrapper(*arguments, **parts):
        try:
            return callback(*arguments, **parts)
        except parameters.Invalid as error:
            raise HTTPError(422, str(error)) from None
        except parameters.NotFound as error:
            raise HTTPError(404, str(error)) from None
        except store.DatabaseAway:
            raise HTTPError(503, parameters.NO_DATABASE) from None

    return wrapper


def as_json(value, status=200):
    """Bottle makes JSON of objects alone, not of lists."""
    return HTTPResponse(json.dumps(value), status, content_type=JSON)


def arguments(name):
    return request.query.decode().getall(name)


def greeted():
    name = request.query.getunicode("name")
    # Bottle takes every body that isn't multipart for a form.
    if not name and request.content_type.startswith("application/x-www-form-urlencoded"):
        name = request.forms.getunicode("name")
    return name


@app.route("/v1/hello", method=["GET", "POST"])
def hello_text():
    response.content_type = hello.TEXT
    return hello.hello(greeted())


@app.route("/v2/hello", method=["GET", "POST"])
def hello_html():
    response.content_type = hello.HTML
    return hello.hello_html(greeted())


@app.get("/heartbeat")
def alive():
    try:
        store.ping()
    except store.DatabaseAway as error:
        return as_json(*heartbeat(NAME, error))
    return as_json(*heartbeat(NAME))


@app.get("/about")
def facts():
    return about(NAME, "bottle", "psycopg")


@app.get("/version")
def version():
    return {"version": VERSION}


@app.get("/types")
def types():
    return as_json(store.types())


@app.get("/contacts/for")
def contacts_for():
    return as_json(store.contacts_for(parameters.page(arguments)))


@app.get("/contacts/fetch")
def contacts_fetch():
    return as_json(store.contacts_fetch(parameters.page(arguments)))


@app.get("/contacts/<contact_id>")
def contact(contact_id):
    return store.contact(parameters.contact_id(contact_id))


@app.post("/contacts")
def contact_create():
    new = parameters.new_contact(request.body.read(parameters.LARGEST_READ))
    return as_json(store.contact_create(new), 201)


@app.get("/fibonacci/<n>")
def fibonacci_of(n):
    return {"result": fibonacci(parameters.fibonacci_n(n))}


@app.post("/v1/tasks")
def task_start():
    n = parameters.task_n(request.body.read(parameters.LARGEST_READ))
    return as_json(tasks.start(n), 202)


@app.get("/v1/tasks/<task_id>")
def task_result(task_id):
    return tasks.result(task_id)
