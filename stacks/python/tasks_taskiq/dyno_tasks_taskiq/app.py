"""taskiq: what a worker loads, and what an app sends to it.

A result that isn't there may be late, or of a task that never was. So a task's progress is stored as
QUEUED before it is sent: without either there is no such task.
"""

from taskiq import TaskiqMiddleware
from taskiq.depends.progress_tracker import TaskProgress
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from dyno_core import settings
from dyno_core.fibonacci import fibonacci as fibonacci_of

QUEUED = "QUEUED"
# Messages stay in a stream after they are done; the oldest go when there are more.
LONGEST_STREAM = 100_000

QUEUE = settings.required("TASK_QUEUE", "dyno")

results = RedisAsyncResultBackend(
    settings.required("RESULT_URL", "redis://127.0.0.1:6379/0"),
    result_ex_time=settings.TASK_RESULT_EXPIRES,
    prefix_str=f"{QUEUE}-result",
    # Not pickle, which is taskiq's default: who can write to Redis could run code here.
    serializer=JSONSerializer(),
)


class Queued(TaskiqMiddleware):
    async def pre_send(self, message):
        await results.set_progress(message.task_id, TaskProgress(state=QUEUED, meta=None))
        return message


broker = (
    RedisStreamBroker(
        settings.required("BROKER_URL", "redis://127.0.0.1:6379/0"),
        queue_name=QUEUE,
        consumer_group_name=QUEUE,
        # From the first message on: one may be sent before the first worker is there.
        consumer_id="0",
        maxlen=LONGEST_STREAM,
    )
    .with_result_backend(results)
    .with_middlewares(Queued())
)


@broker.task(task_name="fibonacci")
def fibonacci(n: int) -> int:
    return fibonacci_of(n)
