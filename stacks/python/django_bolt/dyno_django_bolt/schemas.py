"""What goes in and comes out, as msgspec has it."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dyno_core import parameters

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Phone = Annotated[str, Meta(min_length=1, max_length=30, pattern=r"^[^\x00]*$")]
Email = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


class ContactType(Struct):
    type_id: int
    type_name: str


class Contact(Struct):
    contact_id: int
    first_name: str
    last_name: str
    contact_type: ContactType
    phones: list[str]
    emails: list[str]


class NewContact(Struct):
    first_name: Name
    last_name: Name
    type_id: Annotated[int, Meta(gt=0, le=parameters.LARGEST_INT4)]
    phones: list[Phone] = []
    emails: list[Email] = []


class NewTask(Struct):
    n: Annotated[int, Meta(ge=0, le=parameters.LARGEST_N)]


class TaskStarted(Struct):
    task_id: str


class Task(Struct):
    task_id: str
    state: str
    result: int | None


class Version(Struct):
    version: Literal["1.0.0"]


class Number(Struct):
    result: int


class Detail(Struct):
    detail: Any


def contact_of(row):
    """A contact from a row of the ORM with everything that goes with it."""
    return Contact(
        contact_id=row.contact_id,
        first_name=row.first_name,
        last_name=row.last_name,
        contact_type=ContactType(row.contact_type.type_id, row.contact_type.type_name),
        phones=[phone.phone_number for phone in row.phones.all()],
        emails=[email.email_address for email in row.emails.all()],
    )
