"""Runs a WSGI app on waitress: `serve.py --listen 127.0.0.1:8000 --threads 4 … package.module:app`."""

import argparse
import logging
import pkgutil
import signal
import sys

import waitress


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--listen", help="host:port")
    where.add_argument("--unix-socket", help="path")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--backlog", type=int, required=True)
    parser.add_argument("--connection-limit", type=int, required=True)
    parser.add_argument(
        "--channel-timeout", type=int, required=True, help="seconds that a connection may be idle"
    )
    parser.add_argument("app", help="package.module:name")
    return parser.parse_args()


def main():
    given = options()
    # waitress warns of every request that waits for a thread, and under load most do.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # It stops in order when its loop sees SystemExit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    where = {"listen": given.listen} if given.listen else {"unix_socket": given.unix_socket}
    waitress.serve(
        pkgutil.resolve_name(given.app),
        **where,
        # A proxy may run as another user.
        unix_socket_perms="666",
        threads=given.threads,
        backlog=given.backlog,
        connection_limit=given.connection_limit,
        channel_timeout=given.channel_timeout,
        # select() can't hold file descriptors from 1,024 on.
        asyncore_use_poll=True,
    )


main()
