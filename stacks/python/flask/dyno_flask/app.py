"""Flask with psycopg 3 and a connection pool."""

from flask import jsonify, request

from dyno_core import parameters
from dyno_core import psycopg_store as store
from dyno_core.heartbeat import heartbeat
from dyno_flask_common import create_app
from dyno_tasks_celery import tasks

NAME = "flask"

app = create_app(NAME, "psycopg", store.DatabaseAway)


@app.get("/heartbeat")
def alive():
    try:
        store.ping()
    except store.DatabaseAway as error:
        return heartbeat(NAME, error)
    return heartbeat(NAME)


@app.get("/types")
def types():
    return jsonify(store.types())


@app.get("/contacts/for")
def contacts_for():
    return jsonify(store.contacts_for(parameters.page(request.args.getlist)))


@app.get("/contacts/fetch")
def contacts_fetch():
    return jsonify(store.contacts_fetch(parameters.page(request.args.getlist)))


@app.get("/contacts/<contact_id>")
def contact(contact_id):
    return store.contact(parameters.contact_id(contact_id))


@app.post("/contacts")
def contact_create():
    return store.contact_create(parameters.new_contact(request.get_data())), 201


@app.post("/v1/tasks")
def task_start():
    return tasks.start(parameters.task_n(request.get_data())), 202


@app.get("/v1/tasks/<task_id>")
def task_result(task_id):
    return tasks.result(task_id)
