"""The contract's tables; dyno makes them, so Django doesn't manage them."""

from django.db import models


class ContactType(models.Model):
    type_id = models.AutoField(primary_key=True)
    type_name = models.CharField(max_length=30)

    class Meta:
        managed = False
        db_table = "contact_types"


class Contact(models.Model):
    contact_id = models.AutoField(primary_key=True)
    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    contact_type = models.ForeignKey(ContactType, models.PROTECT, db_column="type_id")

    class Meta:
        managed = False
        db_table = "contacts"


class Phone(models.Model):
    phone_id = models.AutoField(primary_key=True)
    phone_number = models.CharField(max_length=30)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="phones")

    class Meta:
        managed = False
        db_table = "contact_phones"
        ordering = ["phone_id"]


class Email(models.Model):
    email_id = models.AutoField(primary_key=True)
    email_address = models.CharField(max_length=256)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="emails")

    class Meta:
        managed = False
        db_table = "contact_emails"
        ordering = ["email_id"]
