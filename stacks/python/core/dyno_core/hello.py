"""The greetings."""

from html import escape

from dyno_core.parameters import Invalid

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


def hello(name):
    return f"Hello {_text(name)}!"


def hello_html(name):
    return f"<blink>Hello {escape(_text(name))}!</blink>"


def _text(name):
    """The name, or World. What frameworks make of a form may be a file, or a list where it was repeated."""
    if not name:
        return "World"
    if not isinstance(name, str):
        raise Invalid("name must be text, given once")
    return name
