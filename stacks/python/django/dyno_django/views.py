"""The contract's operations on Django REST framework."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.views import exception_handler

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_django.serializers import ContactSerializer, ContactTypeSerializer
from dyno_django_common import contacts
from dyno_tasks_celery import tasks


def handle(error, context):
    """The contract's refusals, else the framework's own."""
    if isinstance(error, parameters.Invalid):
        return Response({"detail": str(error)}, 422)
    if isinstance(error, parameters.NotFound):
        return Response({"detail": str(error)}, 404)
    if isinstance(error, RequestDataTooBig):
        return Response({"detail": str(error)}, 413)
    if isinstance(error, contacts.DATABASE_AWAY):
        return Response({"detail": parameters.NO_DATABASE}, 503)
    return exception_handler(error, context)


def greeted(request):
    return request.GET.get("name") or request.POST.get("name")


@api_view(["GET", "POST"])
def hello_text(request):
    return HttpResponse(hello.hello(greeted(request)), content_type=hello.TEXT)


@api_view(["GET", "POST"])
def hello_html(request):
    return HttpResponse(hello.hello_html(greeted(request)), content_type=hello.HTML)


@api_view()
def alive(request):
    try:
        contacts.ping()
    except contacts.DATABASE_AWAY as error:
        return Response(*heartbeat("django", error))
    return Response(*heartbeat("django"))


@api_view()
def facts(request):
    return Response(about("django", "django", "psycopg"))


@api_view()
def version(request):
    return Response({"version": VERSION})


@api_view()
def types(request):
    return Response(ContactTypeSerializer(contacts.select_types(), many=True).data)


def page_of(request):
    return parameters.page(request.GET.getlist)


@api_view()
def contacts_for(request):
    return Response(ContactSerializer(contacts.iterate_page(page_of(request)), many=True).data)


@api_view()
def contacts_fetch(request):
    return Response(ContactSerializer(contacts.select_page(page_of(request)), many=True).data)


@api_view()
def contact(request, contact_id):
    return Response(ContactSerializer(contacts.find(parameters.contact_id(contact_id))).data)


@api_view(["POST"])
def contact_create(request):
    stored = contacts.create(parameters.new_contact(request.body))
    return Response(ContactSerializer(stored).data, 201)


@api_view()
def fibonacci_of(request, n):
    return Response({"result": fibonacci(parameters.fibonacci_n(n))})


@api_view(["POST"])
def task_start(request):
    return Response(tasks.start(parameters.task_n(request.body)), 202)


@api_view()
def task_result(request, task_id):
    return Response(tasks.result(task_id))
