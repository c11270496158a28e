"""Paths of the contract."""

from django.urls import path

from dyno_django import views

urlpatterns = [
    path("v1/hello", views.hello_text),
    path("v2/hello", views.hello_html),
    path("heartbeat", views.alive),
    path("about", views.facts),
    path("version", views.version),
    path("types", views.types),
    path("contacts", views.contact_create),
    path("contacts/for", views.contacts_for),
    path("contacts/fetch", views.contacts_fetch),
    path("contacts/<str:contact_id>", views.contact),
    path("fibonacci/<str:n>", views.fibonacci_of),
    path("v1/tasks", views.task_start),
    path("v1/tasks/<str:task_id>", views.task_result),
]

handler404 = "dyno_django_common.refusals.no_such_path"
