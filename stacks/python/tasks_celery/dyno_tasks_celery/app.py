"""Celery: what a worker loads, and what an app sends to it.

Celery says PENDING of a task that it knows nothing of, be it one that waits or one that never was. So a
task's state is stored as QUEUED before it is sent, and PENDING means that there is no such task.
"""

from celery import Celery
from celery.signals import before_task_publish

from dyno_core import settings
from dyno_core.fibonacci import fibonacci as fibonacci_of

QUEUED = "QUEUED"

app = Celery("dyno", broker=settings.required("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    # Messages may go over any broker; states and results are kept in Redis.
    result_backend=settings.required("RESULT_URL", "redis://127.0.0.1:6379/0"),
    # Stacks that share a broker don't share their work.
    task_default_queue=settings.required("TASK_QUEUE", "dyno"),
    result_expires=settings.TASK_RESULT_EXPIRES,
    broker_connection_retry_on_startup=True,
    # A request doesn't wait longer than this for a Redis that is away.
    result_backend_transport_options={"retry_policy": {"timeout": 5.0}},
)


@app.task(name="fibonacci")
def fibonacci(n):
    return fibonacci_of(n)


@before_task_publish.connect
def queued(headers, **_):
    app.backend.store_result(headers["id"], None, QUEUED)
