"""The contract's operations on Django REST framework."""

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError, connection, transaction
from django.db.models import BooleanField, F, Func, Value
from django.db.models.functions import Lower
from django.http import HttpResponse, JsonResponse
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.views import exception_handler

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_django.models import Contact, ContactType, Email, Phone
from dyno_django.serializers import ContactSerializer, ContactTypeSerializer


def handle(error, context):
    """The contract's refusals, else the framework's own."""
    if isinstance(error, parameters.Invalid):
        return Response({"detail": str(error)}, 422)
    if isinstance(error, parameters.NotFound):
        return Response({"detail": str(error)}, 404)
    if isinstance(error, RequestDataTooBig):
        return Response({"detail": str(error)}, 413)
    if isinstance(error, OperationalError):
        return Response({"detail": parameters.NO_DATABASE}, 503)
    return exception_handler(error, context)


def no_such_path(request, exception):
    return JsonResponse({"detail": "no such path"}, status=404)


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
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except OperationalError as error:
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
    return Response(ContactTypeSerializer(ContactType.objects.order_by("type_id"), many=True).data)


class LikePrefix(Func):
    """`a LIKE b` as written: Django's own `istartswith` uses upper(), which no index here serves."""

    template = "%(expressions)s"
    arg_joiner = " LIKE "
    output_field = BooleanField()


CONTACTS = Contact.objects.select_related("contact_type").prefetch_related("phones", "emails")


def page_of(request):
    page = parameters.page(request.GET.getlist)
    found = CONTACTS.order_by("contact_id")
    if page.starts:
        found = found.alias(lower=Lower("last_name")).filter(LikePrefix(F("lower"), Lower(Value(page.like))))
    return found[page.offset : page.offset + page.limit], page


@api_view()
def contacts_for(request):
    found, page = page_of(request)
    with transaction.atomic():
        rows = list(found.iterator(chunk_size=page.limit))
    return Response(ContactSerializer(rows, many=True).data)


@api_view()
def contacts_fetch(request):
    found, _ = page_of(request)
    return Response(ContactSerializer(found, many=True).data)


def find(number):
    try:
        return ContactSerializer(CONTACTS.get(contact_id=number)).data
    except Contact.DoesNotExist:
        raise parameters.no_contact(number) from None


@api_view()
def contact(request, contact_id):
    return Response(find(parameters.contact_id(contact_id)))


@api_view(["POST"])
def contact_create(request):
    new = parameters.new_contact(request.body)
    with transaction.atomic():
        if not ContactType.objects.filter(type_id=new.type_id).exists():
            raise parameters.unknown_type(new.type_id)
        stored = Contact.objects.create(
            first_name=new.first_name, last_name=new.last_name, contact_type_id=new.type_id
        )
        Phone.objects.bulk_create(Phone(contact=stored, phone_number=phone) for phone in new.phones)
        Email.objects.bulk_create(Email(contact=stored, email_address=email) for email in new.emails)
    return Response(find(stored.contact_id), 201)


@api_view()
def fibonacci_of(request, n):
    return Response({"result": fibonacci(parameters.fibonacci_n(n))})
