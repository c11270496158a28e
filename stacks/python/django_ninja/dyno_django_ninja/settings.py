"""The settings of Django Ninja's app."""

from dyno_django_common.settings import *  # noqa: F403

ROOT_URLCONF = "dyno_django_ninja.urls"
WSGI_APPLICATION = "dyno_django_ninja.wsgi.application"
