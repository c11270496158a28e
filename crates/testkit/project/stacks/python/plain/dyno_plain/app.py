"""The operations that need neither a framework nor a database."""

import json

from dyno_core import VERSION, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci

STATUS = {200: "200 OK", 404: "404 Not Found", 422: "422 Unprocessable Content"}


def answer(path):
    """Status and JSON value."""
    match path.split("/"):
        case ["", "heartbeat"]:
            return 200, {"plain-server": "ok"}
        case ["", "about"]:
            return 200, about("plain", "plain", "none")
        case ["", "version"]:
            return 200, {"version": VERSION}
        case ["", "fibonacci", n]:
            try:
                return 200, {"result": fibonacci(parameters.fibonacci_n(n))}
            except parameters.Invalid as error:
                return 422, {"detail": str(error)}
    return 404, {"detail": "nothing is there"}


def app(environ, start_response):
    status, value = answer(environ["PATH_INFO"])
    body = json.dumps(value).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(STATUS[status], headers)
    return [body]
