"""The shared core's pure logic."""

import pytest

from dyno_core import contacts, hello, parameters
from dyno_core.fibonacci import fibonacci
from dyno_core.heartbeat import heartbeat
from dyno_core.sql import NUMBERED, PERCENT


def arguments(**values):
    return lambda name: values.get(name, [])


def test_a_page_has_the_contracts_defaults():
    page = parameters.page(arguments())
    assert (page.limit, page.offset, page.starts) == (100, 0, "")


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1.5", "1_0", " 7", "٣", "9" * 30])
def test_limits_that_are_refused(limit):
    with pytest.raises(parameters.Invalid, match="limit must be a whole number from 1 to 200"):
        parameters.page(arguments(limit=[limit]))


def test_a_repeated_parameter_is_refused():
    with pytest.raises(parameters.Invalid, match="more than once"):
        parameters.page(arguments(limit=["1", "2"]))


def test_a_parameter_that_isnt_utf8_is_refused():
    def undecodable(name):
        return [b"\xff".decode()]

    with pytest.raises(parameters.Invalid, match="limit isn't UTF-8|starts isn't UTF-8"):
        parameters.page(undecodable)


def test_nul_in_a_prefix_is_refused():
    with pytest.raises(parameters.Invalid, match="NUL"):
        parameters.page(arguments(starts=["a\0"]))


@pytest.mark.parametrize(
    ("starts", "like"), [("ab", "ab%"), ("100%", "100\\%%"), ("a_b", "a\\_b%"), ("\\", "\\\\%"), ("Ω", "Ω%")]
)
def test_a_prefix_is_taken_literally(starts, like):
    assert parameters.page(arguments(starts=[starts])).like == like


def test_a_contacts_number_beyond_the_columns_range_is_not_found():
    with pytest.raises(parameters.NotFound):
        parameters.contact_id(str(2**31))
    with pytest.raises(parameters.Invalid):
        parameters.contact_id("seven")
    assert parameters.contact_id("7") == 7


def test_fibonacci_starts_with_two_ones():
    assert [fibonacci(n) for n in range(8)] == [1, 1, 2, 3, 5, 8, 13, 21]


def test_a_heartbeat_tells_what_is_wrong():
    assert heartbeat("a") == ({"a-server": "ok"}, 200)
    assert heartbeat("a", TimeoutError()) == ({"a-server": "no database: TimeoutError"}, 503)


def test_html_is_escaped():
    assert hello.hello_html("<b a='1'>&") == "<blink>Hello &lt;b a=&#x27;1&#x27;&gt;&amp;!</blink>"
    assert hello.hello(None) == "Hello World!"


def test_details_go_to_their_contacts_in_order():
    page = [contacts.contact((7, "A", "B", 2, "Friends")), contacts.contact((9, "C", "D", 1, "Relatives"))]
    found = contacts.attach(page, [(9, "1"), (9, "2")], [(7, "a@b")])
    assert [one["phones"] for one in found] == [[], ["1", "2"]]
    assert [one["emails"] for one in found] == [["a@b"], []]


def test_both_spellings_of_a_page():
    page = parameters.Page(5, 10, "a%")
    assert NUMBERED.page(page)[1] == PERCENT.page(page)[1] == ("a\\%%", 5, 10)
    assert "$3" in NUMBERED.page(page)[0]
    assert "%s" in PERCENT.page(page)[0] and "$" not in PERCENT.page(page)[0]


GOOD = b'{"first_name": "Zo\xc3\xab", "last_name": "B", "type_id": 2, "phones": ["1"]}'


def test_a_contact_to_store():
    new = parameters.new_contact(GOOD)
    assert (new.first_name, new.type_id, new.phones, new.emails) == ("Zoë", 2, ["1"], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        GOOD.replace(b'"B"', b'""'),
        GOOD.replace(b'"B"', b'"' + b"x" * 101 + b'"'),
        GOOD.replace(b'"B"', b'"\\u0000"'),
        GOOD.replace(b'"B"', b'"\\ud800"'),
        GOOD.replace(b'"B"', b"7"),
        GOOD.replace(b"2,", b'"2",'),
        GOOD.replace(b"2,", b"true,"),
        GOOD.replace(b"2,", b"99999999999,"),
        GOOD.replace(b'["1"]', b'"1"'),
        GOOD.replace(b'["1"]', b"[1]"),
    ],
)
def test_bodies_that_are_refused(body):
    with pytest.raises(parameters.Invalid):
        parameters.new_contact(body)


def test_a_body_may_be_as_large_as_the_limit_and_no_larger():
    largest = GOOD.ljust(parameters.LARGEST_BODY)
    assert parameters.new_contact(largest).first_name == "Zoë"
    with pytest.raises(parameters.Invalid, match="the body is larger than 1048576 bytes"):
        parameters.new_contact(largest + b" ")


@pytest.mark.parametrize("name", [["a", "b"], object()])
def test_a_name_that_isnt_text_is_refused(name):
    with pytest.raises(parameters.Invalid, match="name must be text"):
        hello.hello(name)
    with pytest.raises(parameters.Invalid, match="name must be text"):
        hello.hello_html(name)


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"n": 35}', '{"n": -1}', '{"n": "20"}', '{"n": true}', "{"]
)
def test_tasks_that_are_refused(body):
    with pytest.raises(parameters.Invalid, match="n must be|the body"):
        parameters.task_n(body.encode())


def test_only_ids_that_a_task_can_have_are_looked_up():
    assert parameters.task_n(b'{"n": 34, "more": 1}') == 34
    for known in ("04fdb8ba-5487-47a4-913a-14f30b6a089c", "04fdb8ba548747a4913a14f30b6a089c"):
        assert parameters.task_id(known) == known
    for unknown in ("", "x", "04fdb8ba548747a4913a14f30b6a089c__progress", "٣" * 32, "0" * 33):
        with pytest.raises(parameters.NotFound, match="no task"):
            parameters.task_id(unknown)
