"""A known slowdown before an app, for calibration: each request burns some CPU time before the app sees it.

DYNO_BURN_US says how many microseconds of CPU time of the thread, DYNO_BURN_MODULE which app (`module:name`).
"""

import os
import time
from importlib import import_module

BURN_NS = int(os.environ["DYNO_BURN_US"]) * 1000


def load():
    module, _, name = os.environ["DYNO_BURN_MODULE"].partition(":")
    return getattr(import_module(module), name)


def burn():
    end = time.thread_time_ns() + BURN_NS
    while time.thread_time_ns() < end:
        pass
