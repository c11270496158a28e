"""The statements of the contract: a page of contacts is three, whatever the framework.

Two spellings of one text, for drivers with numbered parameters ($1: asyncpg) and with %s (psycopg, aiopg).
"""

_CONTACT = """
select c.contact_id, c.first_name, c.last_name, t.type_id, t.type_name
from contacts c join contact_types t using (type_id)
"""

_PAGE = _CONTACT + "where lower(c.last_name) like lower({0}) order by c.contact_id limit {1} offset {2}"
_PAGE_ALL = _CONTACT + "order by c.contact_id limit {0} offset {1}"
_ONE = _CONTACT + "where c.contact_id = {0}"
_PHONES = "select contact_id, phone_number from contact_phones where contact_id = any({0}) order by phone_id"
_EMAILS = "select contact_id, email_address from contact_emails where contact_id = any({0}) order by email_id"
_TYPES = "select type_id, type_name from contact_types order by type_id"
_TYPE = "select type_name from contact_types where type_id = {0}"
_INSERT = "insert into contacts (first_name, last_name, type_id) values ({0}, {1}, {2}) returning contact_id"
_INSERT_PHONE = "insert into contact_phones (contact_id, phone_number) values ({0}, {1})"
_INSERT_EMAIL = "insert into contact_emails (contact_id, email_address) values ({0}, {1})"


class Statements:
    """All statements, with placeholders as one family of drivers writes them."""

    def __init__(self, *placeholders):
        def write(text):
            return text.format(*placeholders)

        self._page = write(_PAGE)
        self._page_all = write(_PAGE_ALL)
        self.one = write(_ONE)
        self.phones = write(_PHONES)
        self.emails = write(_EMAILS)
        self.types = write(_TYPES)
        self.type = write(_TYPE)
        self.insert = write(_INSERT)
        self.insert_phone = write(_INSERT_PHONE)
        self.insert_email = write(_INSERT_EMAIL)

    def page(self, page):
        """The statement for a page and its arguments."""
        if page.starts:
            return self._page, (page.like, page.limit, page.offset)
        return self._page_all, (page.limit, page.offset)


NUMBERED = Statements("$1", "$2", "$3")
PERCENT = Statements("%s", "%s", "%s")
