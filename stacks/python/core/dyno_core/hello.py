"""The greetings."""

from html import escape

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


def hello(name):
    return f"Hello {name or 'World'}!"


def hello_html(name):
    return f"<blink>Hello {escape(name or 'World')}!</blink>"
