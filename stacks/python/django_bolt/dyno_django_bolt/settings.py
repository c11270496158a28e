"""The settings of Django-Bolt's app."""

from dyno_core import parameters
from dyno_django_common.settings import *  # noqa: F403

ROOT_URLCONF = "dyno_django_bolt.urls"

INSTALLED_APPS = ["django_bolt", "dyno_django_common"]

BOLT_API = ["dyno_django_bolt.api:api"]
BOLT_MAX_UPLOAD_SIZE = parameters.LARGEST_BODY
