"""Facts about the running app, observed rather than configured."""

import asyncio
import os
import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version

from dyno_core import settings


def about(app, framework, driver):
    return {
        "app": app,
        "framework": framework,
        "framework_version": _version(framework),
        "server": settings.SERVER,
        "server_version": _version(settings.SERVER_DISTRIBUTION),
        "interpreter": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": _gil(),
        "event_loop": _event_loop(),
        "driver": driver,
        "driver_version": _version(driver),
        "pid": os.getpid(),
        "workers": settings.WORKERS,
        "threads": settings.THREADS,
        "pool_size": settings.POOL_SIZE,
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gil():
    if hasattr(sys, "_is_gil_enabled"):
        return sys._is_gil_enabled()
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def _event_loop():
    try:
        loop = type(asyncio.get_running_loop())
    except RuntimeError:
        return None
    return f"{loop.__module__}.{loop.__qualname__}"
