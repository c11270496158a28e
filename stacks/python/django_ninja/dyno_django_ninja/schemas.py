"""Rows to JSON and bodies to values, as Django Ninja does it."""

from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import ConfigDict, Field, StringConstraints

from dyno_core import parameters

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Phone = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=r"^[^\x00]*$")]
Email = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


class ContactType(Schema):
    type_id: int
    type_name: str


class Contact(Schema):
    contact_id: int
    first_name: str
    last_name: str
    contact_type: ContactType
    phones: list[str]
    emails: list[str]

    @staticmethod
    def resolve_phones(contact):
        return [phone.phone_number for phone in contact.phones.all()]

    @staticmethod
    def resolve_emails(contact):
        return [email.email_address for email in contact.emails.all()]


class NewContact(Schema):
    model_config = ConfigDict(strict=True)
    first_name: Name
    last_name: Name
    type_id: Annotated[int, Field(gt=0, le=parameters.LARGEST_INT4)]
    phones: list[Phone] = []
    emails: list[Email] = []


class NewTask(Schema):
    model_config = ConfigDict(strict=True)
    n: Annotated[int, Field(ge=0, le=parameters.LARGEST_N)]


class TaskStarted(Schema):
    task_id: str


class Task(Schema):
    task_id: str
    state: str
    result: int | None


class Page(Schema):
    limit: Annotated[int, Field(ge=1, le=200)] = 100
    offset: Annotated[int, Field(ge=0, le=parameters.LARGEST_INT8)] = 0
    starts: str = ""


class Version(Schema):
    version: Literal["1.0.0"]


class Number(Schema):
    result: int


class Detail(Schema):
    detail: Any
