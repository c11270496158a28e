"""Falcon on WSGI with psycopg 3 and a connection pool."""

import falcon

from dyno_core import VERSION, hello, parameters
from dyno_core import psycopg_store as store
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_tasks_celery import tasks

NAME = "falcon-wsgi"


def page_of(request):
    return parameters.page(lambda name: request.get_param_as_list(name, default=[]))


class Hello:
    content_type = hello.TEXT
    greet = staticmethod(hello.hello)

    def on_get(self, request, response):
        self.answer(response, request.get_param("name"))

    def on_post(self, request, response):
        name = request.get_param("name")
        if not name and (request.content_type or "").startswith(falcon.MEDIA_URLENCODED):
            name = request.get_media().get("name")
        self.answer(response, name)

    def answer(self, response, name):
        response.content_type = self.content_type
        # A form's name that is repeated is a list.
        response.text = self.greet(name[0] if isinstance(name, list) else name)


class HelloHtml(Hello):
    content_type = hello.HTML
    greet = staticmethod(hello.hello_html)


class Heartbeat:
    def on_get(self, request, response):
        try:
            store.ping()
        except store.DatabaseAway as error:
            response.media, response.status = heartbeat(NAME, error)
        else:
            response.media, response.status = heartbeat(NAME)


class About:
    def on_get(self, request, response):
        response.media = about(NAME, "falcon", "psycopg")


class Version:
    def on_get(self, request, response):
        response.media = {"version": VERSION}


class Types:
    def on_get(self, request, response):
        response.media = store.types()


class Contacts:
    def on_get_for(self, request, response):
        response.media = store.contacts_for(page_of(request))

    def on_get_fetch(self, request, response):
        response.media = store.contacts_fetch(page_of(request))

    def on_get_one(self, request, response, contact_id):
        response.media = store.contact(parameters.contact_id(contact_id))

    def on_post(self, request, response):
        new = parameters.new_contact(request.bounded_stream.read(parameters.LARGEST_READ))
        response.media = store.contact_create(new)
        response.status = falcon.HTTP_201


class Fibonacci:
    def on_get(self, request, response, n):
        response.media = {"result": fibonacci(parameters.fibonacci_n(n))}


class Tasks:
    def on_post(self, request, response):
        n = parameters.task_n(request.bounded_stream.read(parameters.LARGEST_READ))
        response.media = tasks.start(n)
        response.status = falcon.HTTP_202

    def on_get_one(self, request, response, task_id):
        response.media = tasks.result(task_id)


def invalid(request, response, error, parts):
    response.media, response.status = {"detail": str(error)}, falcon.HTTP_422


def not_found(request, response, error, parts):
    response.media, response.status = {"detail": str(error)}, falcon.HTTP_404


def database_away(request, response, error, parts):
    response.media, response.status = {"detail": parameters.NO_DATABASE}, falcon.HTTP_503


def serialize_error(request, response, error):
    """Falcon's own refusals (404, 405, 400 of a form) as the contract's JSON."""
    response.media = {"detail": error.description or error.title}


def create_app():
    app = falcon.App()
    app.add_error_handler(parameters.Invalid, invalid)
    app.add_error_handler(parameters.NotFound, not_found)
    app.add_error_handler(store.DatabaseAway, database_away)
    app.set_error_serializer(serialize_error)
    contacts = Contacts()
    app.add_route("/v1/hello", Hello())
    app.add_route("/v2/hello", HelloHtml())
    app.add_route("/heartbeat", Heartbeat())
    app.add_route("/about", About())
    app.add_route("/version", Version())
    app.add_route("/types", Types())
    app.add_route("/contacts", contacts)
    app.add_route("/contacts/for", contacts, suffix="for")
    app.add_route("/contacts/fetch", contacts, suffix="fetch")
    app.add_route("/contacts/{contact_id}", contacts, suffix="one")
    app.add_route("/fibonacci/{n}", Fibonacci())
    tasks = Tasks()
    app.add_route("/v1/tasks", tasks)
    app.add_route("/v1/tasks/{task_id}", tasks, suffix="one")
    return app


app = create_app()
