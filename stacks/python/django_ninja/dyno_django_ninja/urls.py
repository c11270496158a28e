"""All paths are the API's."""

from django.urls import path

from dyno_django_ninja.api import api

urlpatterns = [path("", api.urls)]

handler404 = "dyno_django_common.refusals.no_such_path"
