"""What the settings of all Django apps have in common, from the environment."""

from dyno_core import parameters, settings

SECRET_KEY = "signs nothing: this app has no sessions"
DEBUG = False
ALLOWED_HOSTS = ["*"]
APPEND_SLASH = False
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = parameters.LARGEST_READ

INSTALLED_APPS = ["dyno_django_common"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

_parts = settings.database_parts(settings.DATABASE_URL)

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _parts["host"],
        "PORT": _parts["port"],
        "USER": _parts["user"],
        "PASSWORD": _parts["password"],
        "NAME": _parts["dbname"],
        # A pooler that gives a connection for a transaction can't hold a cursor beyond it.
        "DISABLE_SERVER_SIDE_CURSORS": bool(settings.POOLER),
        "OPTIONS": {
            "connect_timeout": settings.CONNECT_TIMEOUT,
            "prepare_threshold": settings.PREPARE_THRESHOLD,
            "pool": {
                "min_size": settings.POOL_SIZE,
                "max_size": settings.POOL_SIZE,
                "timeout": settings.POOL_TIMEOUT,
            },
        },
    }
}

LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    # Refused requests (404, 405, 422) are answers, not news.
    "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
}
