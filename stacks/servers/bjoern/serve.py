"""Runs a WSGI app on bjoern in forked workers: `serve.py --bind 127.0.0.1:8000 --workers 2 … module:app`."""

import argparse
import os
import pkgutil
import signal
import sys
from contextlib import suppress

import bjoern


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", required=True, help="host:port, or unix:path")
    parser.add_argument("--backlog", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("app", help="package.module:name")
    return parser.parse_args()


def listen(bind, backlog):
    if bind.startswith("unix:"):
        listening = bjoern.bind_and_listen(bind, listen_backlog=backlog)
        # A proxy may run as another user.
        os.chmod(bind.removeprefix("unix:"), 0o666)
        return listening
    host, _, port = bind.rpartition(":")
    return bjoern.bind_and_listen(host, int(port), listen_backlog=backlog)


def work(listening, app):
    """A worker: it imports the app itself, so that connections to the database are its own."""
    # bjoern ends in order on SIGINT, and knows of no other signal.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        bjoern.server_run(listening, pkgutil.resolve_name(app))


def main():
    given = options()
    listening = listen(given.bind, given.backlog)
    workers = set()

    def stop(*_):
        for worker in workers:
            os.kill(worker, signal.SIGINT)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for _ in range(given.workers):
        worker = os.fork()
        if worker == 0:
            return work(listening, given.app)
        workers.add(worker)
    failed = False
    while workers:
        worker, status = os.wait()
        workers.remove(worker)
        if status != 0:
            # A worker that died isn't replaced: all end, and it shows.
            failed = True
            stop()
    sys.exit(failed)


main()
