"""The contract's operations on Django Ninja."""

from typing import Annotated, Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse
from ninja import Form, NinjaAPI, Path, Query
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_django_common import contacts
from dyno_django_ninja.schemas import (
    Contact,
    ContactType,
    Detail,
    NewContact,
    NewTask,
    Number,
    Page,
    Task,
    TaskStarted,
    Version,
)
from dyno_tasks_celery import tasks


class LimitedParser(Parser):
    """Refuses a body that is too large; Ninja makes its own refusal of it."""

    def parse_body(self, request):
        if len(request.body) > parameters.LARGEST_BODY:
            raise parameters.Invalid("the body is too large")
        return super().parse_body(request)


api = NinjaAPI(title="django-ninja", version=VERSION, docs_url=None, parser=LimitedParser())


@api.exception_handler(parameters.Invalid)
def invalid(request, error):
    return api.create_response(request, {"detail": str(error)}, status=422)


@api.exception_handler(parameters.NotFound)
def not_found(request, error):
    return api.create_response(request, {"detail": str(error)}, status=404)


@api.exception_handler(ValidationError)
def refused(request, error):
    # Without the input that Ninja would repeat: it may be large, or what JSON can't say (NaN).
    detail = [{name: one[name] for name in ("type", "loc", "msg")} for one in error.errors]
    return api.create_response(request, {"detail": detail}, status=422)


@api.exception_handler(HttpError)
def http_error(request, error):
    # Ninja says 400 of a body that it can't read; the contract says 422.
    status = 422 if error.status_code == 400 else error.status_code
    return api.create_response(request, {"detail": str(error)}, status=status)


@api.exception_handler(RequestDataTooBig)
def too_big(request, error):
    return api.create_response(request, {"detail": str(error)}, status=413)


def no_database(request, error):
    return api.create_response(request, {"detail": parameters.NO_DATABASE}, status=503)


for away in contacts.DATABASE_AWAY:
    api.add_exception_handler(away, no_database)


def text_response(content_type):
    """For the OpenAPI document: Ninja itself describes JSON only."""
    content = {content_type: {"schema": {"type": "string"}}}
    return {"responses": {200: {"description": "The greeting", "content": content}}}


TEXT = text_response("text/plain")
HTML = text_response(hello.HTML)
FormName = Annotated[str, Form(alias="name")]


@api.get("/v1/hello", openapi_extra=TEXT)
def hello_text(request, name: str = ""):
    return HttpResponse(hello.hello(name), content_type=hello.TEXT)


@api.post("/v1/hello", openapi_extra=TEXT)
def hello_text_post(request, name: str = "", form: FormName = ""):
    return HttpResponse(hello.hello(name or form), content_type=hello.TEXT)


@api.get("/v2/hello", openapi_extra=HTML)
def hello_html(request, name: str = ""):
    return HttpResponse(hello.hello_html(name), content_type=hello.HTML)


@api.post("/v2/hello", openapi_extra=HTML)
def hello_html_post(request, name: str = "", form: FormName = ""):
    return HttpResponse(hello.hello_html(name or form), content_type=hello.HTML)


@api.get("/heartbeat", response={200: dict[str, str], 503: dict[str, str]})
def alive(request):
    try:
        contacts.ping()
    except contacts.DATABASE_AWAY as error:
        answer, status = heartbeat("django-ninja", error)
    else:
        answer, status = heartbeat("django-ninja")
    return status, answer


@api.get("/about", response=dict[str, Any])
def facts(request):
    return about("django-ninja", "django-ninja", "psycopg")


@api.get("/version", response=Version)
def version(request):
    return {"version": VERSION}


@api.get("/types", response=list[ContactType])
def types(request):
    return list(contacts.select_types())


def page_of(request):
    # The schema documents and validates; what it can't say (given twice, NUL) is the core's to refuse.
    return parameters.page(request.GET.getlist)


@api.get("/contacts/for", response={200: list[Contact], 422: Detail})
def contacts_for(request, page: Query[Page]):
    return contacts.iterate_page(page_of(request))


@api.get("/contacts/fetch", response={200: list[Contact], 422: Detail})
def contacts_fetch(request, page: Query[Page]):
    return list(contacts.select_page(page_of(request)))


@api.get("/contacts/{contact_id}", response={200: Contact, 404: Detail, 422: Detail})
def contact(request, contact_id: int):
    return contacts.find(parameters.contact_id(str(contact_id)))


@api.post("/contacts", response={201: Contact, 422: Detail})
def contact_create(request, new: NewContact):
    return 201, contacts.create(new)


@api.get("/fibonacci/{n}", response={200: Number, 422: Detail})
def fibonacci_of(request, n: Annotated[int, Path(ge=0, le=34)]):
    return {"result": fibonacci(n)}


@api.post("/v1/tasks", response={202: TaskStarted, 422: Detail})
def task_start(request, new: NewTask):
    return 202, tasks.start(new.n)


@api.get("/v1/tasks/{id}", response={200: Task, 404: Detail})
def task_result(request, id: str):
    return tasks.result(id)
