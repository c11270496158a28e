"""What the answers hold, for frameworks that make an OpenAPI document of dataclasses.

The apps answer with plain dicts of these fields: the classes are only for the document.
"""

from dataclasses import dataclass
from typing import Any


@dataclass
class ContactType:
    type_id: int
    type_name: str


@dataclass
class Contact:
    contact_id: int
    first_name: str
    last_name: str
    contact_type: ContactType
    phones: list[str]
    emails: list[str]


@dataclass
class Version:
    version: str


@dataclass
class Number:
    result: int


@dataclass
class NewTask:
    n: int


@dataclass
class TaskStarted:
    task_id: str


@dataclass
class Task:
    task_id: str
    state: str
    result: int | None


@dataclass
class Detail:
    detail: Any


@dataclass
class About:
    app: str
    framework: str
    framework_version: str | None
    server: str
    server_version: str | None
    interpreter: str
    implementation: str
    gil: bool
    event_loop: str | None
    driver: str
    driver_version: str | None
    pid: int
    workers: int
    threads: int
    pool_size: int
