"""The slowdown before a WSGI app."""

from dyno_burn import burn, load

wrapped = load()


def app(environ, start_response):
    burn()
    return wrapped(environ, start_response)
