"""The operations on tasks: of what starts them and of what finds them, an app chooses."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from dyno_core import parameters
from dyno_fastapi import REFUSED, SMALL, UNKNOWN


class NewTask(BaseModel):
    model_config = ConfigDict(strict=True)
    n: Annotated[int, Field(ge=0, le=parameters.LARGEST_N)]


class TaskStarted(BaseModel):
    task_id: str


class Task(BaseModel):
    task_id: str
    state: str
    result: int | None


TaskId = Annotated[str, Path(alias="id")]


def celery_router():
    """With Celery's client, which waits for Redis: plain functions, which FastAPI runs in its threads."""
    from dyno_tasks_celery import tasks

    router = APIRouter(prefix="/v1/tasks")

    @router.post("", status_code=202, responses=REFUSED, dependencies=SMALL)
    def task_start(new: NewTask) -> TaskStarted:
        return tasks.start(new.n)

    @router.get("/{id}", responses=UNKNOWN)
    def task_result(task_id: TaskId) -> Task:
        return tasks.result(task_id)

    return router


def taskiq_router():
    """With taskiq, on the app's own loop."""
    from dyno_tasks_taskiq import tasks

    router = APIRouter(prefix="/v1/tasks", lifespan=lambda app: tasks.running())

    @router.post("", status_code=202, responses=REFUSED, dependencies=SMALL)
    async def task_start(new: NewTask) -> TaskStarted:
        return await tasks.start(new.n)

    @router.get("/{id}", responses=UNKNOWN)
    async def task_result(task_id: TaskId) -> Task:
        return await tasks.result(task_id)

    return router
