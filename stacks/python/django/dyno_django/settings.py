"""The settings of Django REST framework's app."""

from dyno_django_common.settings import *  # noqa: F403

ROOT_URLCONF = "dyno_django.urls"
WSGI_APPLICATION = "dyno_django.wsgi.application"

INSTALLED_APPS = ["rest_framework", "dyno_django_common"]

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "dyno_django.views.handle",
}
