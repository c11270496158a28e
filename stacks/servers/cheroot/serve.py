"""Runs a WSGI app on cheroot: `serve.py --bind 127.0.0.1:8000 --threads 4 … package.module:app`."""

import argparse
import os
import pkgutil
import signal
import sys

from cheroot import wsgi


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", required=True, help="host:port, or the path of a unix socket")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--backlog", type=int, required=True)
    parser.add_argument("--keep-alive-connections", type=int, required=True)
    parser.add_argument("--timeout", type=int, required=True, help="seconds that a connection may be idle")
    parser.add_argument("--shutdown-timeout", type=int, required=True, help="seconds")
    parser.add_argument("app", help="package.module:name")
    return parser.parse_args()


def address(bind):
    host, colon, port = bind.rpartition(":")
    return (host, int(port)) if colon else bind


def main():
    given = options()
    server = wsgi.Server(
        address(given.bind),
        pkgutil.resolve_name(given.app),
        numthreads=given.threads,
        max=given.threads,
        request_queue_size=given.backlog,
        timeout=given.timeout,
        shutdown_timeout=given.shutdown_timeout,
    )
    server.keep_alive_conn_limit = given.keep_alive_connections
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server.prepare()
    if isinstance(server.bind_addr, str):
        # A proxy may run as another user.
        os.chmod(server.bind_addr, 0o666)
    try:
        server.serve()
    finally:
        server.stop()


main()
