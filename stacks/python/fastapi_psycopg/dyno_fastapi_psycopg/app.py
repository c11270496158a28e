"""FastAPI with psycopg 3 and its asynchronous pool."""

from contextlib import asynccontextmanager

from dyno_fastapi import create_app_with_store
from dyno_fastapi.tasks import taskiq_router
from dyno_psycopg_async_store import DATABASE_AWAY, Store, create_pool


@asynccontextmanager
async def lifespan(app):
    async with create_pool() as pool:
        yield {"store": Store(pool)}


app = create_app_with_store("fastapi-psycopg", "psycopg", lifespan, DATABASE_AWAY)
app.include_router(taskiq_router())
