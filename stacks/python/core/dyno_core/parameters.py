"""What a request may ask for, checked once for all frameworks."""

import json
import re
from dataclasses import dataclass, field

LARGEST_INT4 = 2**31 - 1
LARGEST_INT8 = 2**63 - 1
LARGEST_N = 34
# Bytes of a request's body; nginx before a server has the same limit.
LARGEST_BODY = 1024 * 1024
# Bytes that an app reads of a body that is too large, before it refuses it: a server that answers while the
# client still sends resets the connection, and the client may never see the answer.
LARGEST_READ = 16 * LARGEST_BODY
# What an answer says when the database is away.
NO_DATABASE = "the database is away; try again later"
_UUID = re.compile("[0-9a-f]{8}(-?)[0-9a-f]{4}\\1[0-9a-f]{4}\\1[0-9a-f]{4}\\1[0-9a-f]{12}")


class Invalid(ValueError):
    """A parameter or body that the contract refuses with 422; its text is the answer's `detail`."""


class NotFound(LookupError):
    """Something that isn't there: 404; its text is the answer's `detail`."""


@dataclass
class Page:
    limit: int = 100
    offset: int = 0
    starts: str = ""

    @property
    def like(self):
        """The prefix as a LIKE pattern in which nothing is a wildcard but the end."""
        literal = self.starts.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return literal + "%"


@dataclass
class NewContact:
    first_name: str
    last_name: str
    type_id: int
    phones: list = field(default_factory=list)
    emails: list = field(default_factory=list)


def integer(name, text, low, high):
    """A whole number in ASCII digits; int() alone would take `1_0`, ` 7` and other scripts' digits."""
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20 and low <= int(text) <= high):
        raise Invalid(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def page(arguments):
    """A page from `arguments(name)`, which gives all values of a query parameter."""

    def one(name, default):
        try:
            values = arguments(name)
        except UnicodeDecodeError:
            raise Invalid(f"{name} isn't UTF-8") from None
        if len(values) > 1:
            raise Invalid(f"{name} is given more than once")
        return values[0] if values else default

    starts = one("starts", "")
    if "\0" in starts:
        raise Invalid("starts must not contain NUL")
    return Page(
        limit=integer("limit", one("limit", "100"), 1, 200),
        offset=integer("offset", one("offset", "0"), 0, LARGEST_INT8),
        starts=starts,
    )


def contact_id(text):
    """A contact's number; one that no row can have is not found rather than invalid."""
    number = integer("contact_id", text, -LARGEST_INT8, LARGEST_INT8)
    if not 0 < number <= LARGEST_INT4:
        raise NotFound(f"no contact {number}")
    return number


def fibonacci_n(text):
    return integer("n", text, 0, LARGEST_N)


def task_n(body):
    """The n of a task to start, from the bytes of a request's body."""
    n = _document(body).get("n")
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= LARGEST_N:
        raise Invalid(f"n must be a whole number from 0 to {LARGEST_N}")
    return n


def task_id(text):
    """A task's id, which is a UUID; whatever else is asked for was never handed out."""
    if not _UUID.fullmatch(text):
        raise no_task(text)
    return text


def no_task(text):
    return NotFound(f"no task {text[:40]!r}")


def check_size(body):
    if len(body) > LARGEST_BODY:
        raise Invalid(f"the body is larger than {LARGEST_BODY} bytes")


def _document(body):
    check_size(body)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("the body isn't JSON") from None
    if not isinstance(document, dict):
        raise Invalid("the body must be a JSON object")
    return document


def new_contact(body):
    """A contact to store, from the bytes of a request's body."""
    document = _document(body)
    type_id = document.get("type_id")
    if not isinstance(type_id, int) or isinstance(type_id, bool) or not 0 < type_id <= LARGEST_INT4:
        raise Invalid("type_id must be the number of a contact type")
    return NewContact(
        first_name=_text("first_name", document.get("first_name"), 100),
        last_name=_text("last_name", document.get("last_name"), 100),
        type_id=type_id,
        phones=_texts("phones", document.get("phones", []), 30),
        emails=_texts("emails", document.get("emails", []), 256),
    )


def _text(name, value, longest):
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise Invalid(f"{name} must be text of 1 to {longest} characters")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise Invalid(f"{name} must not contain NUL or lone surrogates")
    return value


def _texts(name, values, longest):
    if not isinstance(values, list):
        raise Invalid(f"{name} must be a list")
    return [_text(name, value, longest) for value in values]


def unknown_type(type_id):
    return Invalid(f"no contact type {type_id}")


def no_contact(number):
    return NotFound(f"no contact {number}")
