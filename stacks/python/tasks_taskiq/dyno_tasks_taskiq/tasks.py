"""What an app calls, within `running()`."""

from contextlib import asynccontextmanager

from dyno_core import parameters
from dyno_tasks_taskiq.app import broker, fibonacci, results


@asynccontextmanager
async def running():
    """The broker's connections, opened and closed in the app's own loop."""
    await broker.startup()
    try:
        yield
    finally:
        await broker.shutdown()


async def start(n):
    """Has a worker compute fibonacci(n): the answer's JSON object."""
    return {"task_id": (await fibonacci.kiq(n)).task_id}


async def result(task_id):
    """The task as the answer's JSON object, or NotFound."""
    task_id = parameters.task_id(task_id)
    if await results.is_result_ready(task_id):
        done = await results.get_result(task_id)
        state, value = ("FAILURE", None) if done.is_err else ("SUCCESS", done.return_value)
    elif progress := await results.get_progress(task_id):
        state, value = progress.state, None
    else:
        raise parameters.no_task(task_id)
    return {"task_id": task_id, "state": state, "result": value}
