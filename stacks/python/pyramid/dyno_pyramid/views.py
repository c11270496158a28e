"""The contract's operations as Pyramid views."""

from pyramid.exceptions import PredicateMismatch
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import exception_view_config, notfound_view_config, view_config

from dyno_core import VERSION, hello, parameters
from dyno_core import psycopg_store as store
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci as fibonacci_of
from dyno_core.heartbeat import heartbeat as heartbeat_answer
from dyno_tasks_celery import tasks

NAME = "pyramid"


def greeted(request):
    name = request.GET.get("name")
    if not name and request.content_type == "application/x-www-form-urlencoded":
        name = request.POST.get("name")
    return name


@view_config(route_name="hello_text", request_method=("GET", "POST"))
def hello_text(request):
    return Response(hello.hello(greeted(request)), content_type="text/plain", charset="utf-8")


@view_config(route_name="hello_html", request_method=("GET", "POST"))
def hello_html(request):
    return Response(hello.hello_html(greeted(request)), content_type="text/html", charset="utf-8")


@view_config(route_name="heartbeat", request_method="GET", renderer="json")
def heartbeat(request):
    try:
        store.ping()
    except store.DatabaseAway as error:
        answer, request.response.status_int = heartbeat_answer(NAME, error)
    else:
        answer, request.response.status_int = heartbeat_answer(NAME)
    return answer


@view_config(route_name="about", request_method="GET", renderer="json")
def facts(request):
    return about(NAME, "pyramid", "psycopg")


@view_config(route_name="version", request_method="GET", renderer="json")
def version(request):
    return {"version": VERSION}


@view_config(route_name="types", request_method="GET", renderer="json")
def types(request):
    return store.types()


@view_config(route_name="contacts_for", request_method="GET", renderer="json")
def contacts_for(request):
    return store.contacts_for(page_of(request))


@view_config(route_name="contacts_fetch", request_method="GET", renderer="json")
def contacts_fetch(request):
    return store.contacts_fetch(page_of(request))


def page_of(request):
    return parameters.page(lambda name: request.GET.getall(name))


@view_config(route_name="contact", request_method="GET", renderer="json")
def contact(request):
    return store.contact(parameters.contact_id(request.matchdict["contact_id"]))


@view_config(route_name="contacts", request_method="POST", renderer="json")
def contact_create(request):
    new = parameters.new_contact(request.body_file.read(parameters.LARGEST_READ))
    request.response.status_int = 201
    return store.contact_create(new)


@view_config(route_name="fibonacci", request_method="GET", renderer="json")
def fibonacci(request):
    return {"result": fibonacci_of(parameters.fibonacci_n(request.matchdict["n"]))}


@view_config(route_name="tasks", request_method="POST", renderer="json")
def task_start(request):
    n = parameters.task_n(request.body_file.read(parameters.LARGEST_READ))
    request.response.status_int = 202
    return tasks.start(n)


@view_config(route_name="task", request_method="GET", renderer="json")
def task_result(request):
    return tasks.result(request.matchdict["task_id"])


@exception_view_config(parameters.Invalid, renderer="json")
def invalid(error, request):
    request.response.status_int = 422
    return {"detail": str(error)}


# Raised where a name in a query or form, or a path, is first decoded.
@exception_view_config(UnicodeDecodeError, renderer="json")
def not_utf8(error, request):
    request.response.status_int = 422
    return {"detail": "a parameter isn't UTF-8"}


@exception_view_config(parameters.NotFound, renderer="json")
def not_found(error, request):
    request.response.status_int = 404
    return {"detail": str(error)}


@exception_view_config(store.DatabaseAway, renderer="json")
def database_away(error, request):
    request.response.status_int = 503
    return {"detail": parameters.NO_DATABASE}


@notfound_view_config(renderer="json")
def no_such_path(error, request):
    request.response.status_int = 404
    return {"detail": HTTPNotFound.explanation}


@exception_view_config(PredicateMismatch, renderer="json")
def wrong_method(error, request):
    """The views' one predicate is the method; Pyramid itself answers 404."""
    views = (view["introspectable"] for view in request.registry.introspector.get_category("views"))
    offered = [view["request_methods"] for view in views if view["route_name"] == request.matched_route.name]
    request.response.status_int = 405
    request.response.allow = [method for methods in offered for method in methods]
    return {"detail": f"{request.method} isn't offered here"}
