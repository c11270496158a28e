"""The slowdown before an ASGI app."""

from dyno_burn import burn, load

wrapped = load()


async def app(scope, receive, send):
    if scope["type"] == "http":
        burn()
    await wrapped(scope, receive, send)
