"""What an app calls. Both functions wait for Redis: an app with an event loop calls them in a thread."""

from celery.states import PENDING, SUCCESS

from dyno_core import parameters
from dyno_tasks_celery.app import app, fibonacci


def start(n):
    """Has a worker compute fibonacci(n): the answer's JSON object."""
    return {"task_id": fibonacci.delay(n).id}


def result(task_id):
    """The task as the answer's JSON object, or NotFound."""
    known = app.backend.get_task_meta(parameters.task_id(task_id))
    if known["status"] == PENDING:
        raise parameters.no_task(task_id)
    done = known["result"] if known["status"] == SUCCESS else None
    return {"task_id": task_id, "state": known["status"], "result": done}
