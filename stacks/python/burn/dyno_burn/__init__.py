"""A known slowdown before an app, for calibration: each request does some useless work first.

DYNO_BURN_LOOPS says how many turns of an empty loop, DYNO_BURN_MODULE which app (`module:name`). A fixed
amount of work and not of time: it takes the same share of a request however fast the machine is at that
moment, and asks the kernel for no clock.
"""

import os
from importlib import import_module
from itertools import repeat

LOOPS = int(os.environ["DYNO_BURN_LOOPS"])


def load():
    module, _, name = os.environ["DYNO_BURN_MODULE"].partition(":")
    return getattr(import_module(module), name)


def burn():
    # Every turn costs the same. A range's don't: CPython keeps integers up to 256 and makes larger ones anew.
    for _ in repeat(None, LOOPS):
        pass
