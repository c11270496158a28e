"""Pyramid with psycopg 3 and a connection pool: routes here, views beside."""

from pyramid.config import Configurator


def create_app():
    with Configurator() as config:
        config.add_route("hello_text", "/v1/hello")
        config.add_route("hello_html", "/v2/hello")
        config.add_route("heartbeat", "/heartbeat")
        config.add_route("about", "/about")
        config.add_route("version", "/version")
        config.add_route("types", "/types")
        config.add_route("contacts", "/contacts")
        config.add_route("contacts_for", "/contacts/for")
        config.add_route("contacts_fetch", "/contacts/fetch")
        config.add_route("contact", "/contacts/{contact_id}")
        config.add_route("fibonacci", "/fibonacci/{n}")
        config.add_route("tasks", "/v1/tasks")
        config.add_route("task", "/v1/tasks/{task_id}")
        config.scan("dyno_pyramid.views")
        return config.make_wsgi_app()


app = create_app()
