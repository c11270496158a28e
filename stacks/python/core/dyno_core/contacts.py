"""Rows to the JSON objects of the contract."""


def contact_type(row):
    type_id, type_name = row
    return {"type_id": type_id, "type_name": type_name}


def contact(row):
    """A contact without its phones and emails from (contact_id, first, last, type_id, type_name)."""
    contact_id, first_name, last_name, type_id, type_name = row
    return {
        "contact_id": contact_id,
        "first_name": first_name,
        "last_name": last_name,
        "contact_type": {"type_id": type_id, "type_name": type_name},
        "phones": [],
        "emails": [],
    }


def identifiers(contacts):
    return [one["contact_id"] for one in contacts]


def attach(contacts, phones, emails):
    """Gives contacts their phones and emails from rows (contact_id, text) that are in order."""
    by_id = {one["contact_id"]: one for one in contacts}
    for contact_id, phone_number in phones:
        by_id[contact_id]["phones"].append(phone_number)
    for contact_id, email_address in emails:
        by_id[contact_id]["emails"].append(email_address)
    return contacts
