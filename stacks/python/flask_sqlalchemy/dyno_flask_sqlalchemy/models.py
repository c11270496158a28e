"""The contract's tables as Flask-SQLAlchemy models; dyno makes them."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class ContactType(db.Model):
    __tablename__ = "contact_types"
    type_id: Mapped[int] = mapped_column(primary_key=True)
    type_name: Mapped[str] = mapped_column(String(30))


class Phone(db.Model):
    __tablename__ = "contact_phones"
    phone_id: Mapped[int] = mapped_column(primary_key=True)
    phone_number: Mapped[str] = mapped_column(String(30))
    contact_id: Mapped[int] = mapped_column(ForeignKey("contacts.contact_id"))


class Email(db.Model):
    __tablename__ = "contact_emails"
    email_id: Mapped[int] = mapped_column(primary_key=True)
    email_address: Mapped[str] = mapped_column(String(256))
    contact_id: Mapped[int] = mapped_column(ForeignKey("contacts.contact_id"))


class Contact(db.Model):
    __tablename__ = "contacts"
    contact_id: Mapped[int] = mapped_column(primary_key=True)
    first_name: Mapped[str] = mapped_column(String(100))
    last_name: Mapped[str] = mapped_column(String(100))
    type_id: Mapped[int] = mapped_column(ForeignKey("contact_types.type_id"))
    contact_type: Mapped[ContactType] = relationship()
    phones: Mapped[list[Phone]] = relationship(order_by=Phone.phone_id)
    emails: Mapped[list[Email]] = relationship(order_by=Email.email_id)
