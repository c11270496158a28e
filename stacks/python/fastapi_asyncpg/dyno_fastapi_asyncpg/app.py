"""FastAPI with asyncpg and its pool."""

from contextlib import asynccontextmanager

from dyno_asyncpg_store import DATABASE_AWAY, Store, create_pool
from dyno_fastapi import create_app_with_store
from dyno_fastapi.tasks import taskiq_router


@asynccontextmanager
async def lifespan(app):
    async with create_pool() as pool:
        yield {"store": Store(pool)}


app = create_app_with_store("fastapi-asyncpg", "asyncpg", lifespan, DATABASE_AWAY)
app.include_router(taskiq_router())
