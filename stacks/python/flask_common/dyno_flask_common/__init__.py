"""What the Flask apps share: refusals as JSON, and the routes that need no database."""

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from dyno_core import VERSION, hello, parameters
from dyno_core.about import about
from dyno_core.fibonacci import fibonacci


def create_app(name, driver, database_away):
    """An app without its database routes; `database_away` is what the driver raises without a database."""
    app = Flask(f"dyno_{name}")
    app.config["MAX_CONTENT_LENGTH"] = parameters.LARGEST_READ

    @app.errorhandler(parameters.Invalid)
    def invalid(error):
        return {"detail": str(error)}, 422

    @app.errorhandler(parameters.NotFound)
    def not_found(error):
        return {"detail": str(error)}, 404

    @app.errorhandler(database_away)
    def away(error):
        return {"detail": parameters.NO_DATABASE}, 503

    @app.errorhandler(HTTPException)
    def refused(error):
        response = error.get_response()
        response.data = json.dumps({"detail": error.description})
        response.content_type = "application/json"
        return response

    def greeted():
        return request.args.get("name") or request.form.get("name")

    @app.route("/v1/hello", methods=["GET", "POST"])
    def hello_text():
        return Response(hello.hello(greeted()), content_type=hello.TEXT)

    @app.route("/v2/hello", methods=["GET", "POST"])
    def hello_html():
        return Response(hello.hello_html(greeted()), content_type=hello.HTML)

    @app.get("/about")
    def facts():
        return about(name, "flask", driver)

    @app.get("/version")
    def version():
        return {"version": VERSION}

    @app.get("/fibonacci/<n>")
    def fibonacci_of(n):
        return {"result": fibonacci(parameters.fibonacci_n(n))}

    return app
