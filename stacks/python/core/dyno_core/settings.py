"""Settings from environment variables, as twelve-factor has it."""

import os
from urllib.parse import parse_qs, unquote, urlsplit


def required(name, example):
    try:
        return os.environ[name]
    except KeyError:
        raise SystemExit(f"{name} is not set: for instance {name}={example}") from None


DATABASE_URL = required("DATABASE_URL", "postgres://me:secret@127.0.0.1/dyno")
POOL_SIZE = int(os.environ.get("DYNO_POOL_SIZE", "4"))
WORKERS = int(os.environ.get("DYNO_WORKERS", "1"))
THREADS = int(os.environ.get("DYNO_THREADS", "1"))
SERVER = os.environ.get("DYNO_SERVER", "unknown")
SERVER_DISTRIBUTION = os.environ.get("DYNO_SERVER_DISTRIBUTION", SERVER)
HOST = os.environ.get("DYNO_HOST", "127.0.0.1")
PORT = int(os.environ.get("DYNO_PORT", "8000"))

# What stands between the app and the database, for instance pgbouncer, and whether it remembers statements
# that a client prepared on one connection when it gives the client another (PgBouncer does from 1.21 on).
POOLER = os.environ.get("DYNO_POOLER", "")
PREPARED_STATEMENTS = os.environ.get("DYNO_PREPARED_STATEMENTS", "1") == "1"
# psycopg prepares a statement at this use of it: its own default, or never.
PREPARE_THRESHOLD = 5 if PREPARED_STATEMENTS else None

# Seconds: how long a request waits for a pooled connection, the heartbeat for an answer, and the pool for a
# new connection.
POOL_TIMEOUT = 30
HEARTBEAT_TIMEOUT = 2
CONNECT_TIMEOUT = 5
# Seconds: how long a task's result is kept.
TASK_RESULT_EXPIRES = 600


def database_parts(url):
    """The URL's parts for drivers and ORMs that want them one by one."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return {
        "host": query.get("host", [parts.hostname or "127.0.0.1"])[0],
        "port": parts.port or 5432,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")) or unquote(parts.username or ""),
    }
