"""Rows to JSON, as Django REST framework does it."""

from rest_framework import serializers

from dyno_django_common.models import Contact, ContactType


class ContactTypeSerializer(serializers.ModelSerializer):
    class Meta:
        model = ContactType
        fields = ["type_id", "type_name"]


class ContactSerializer(serializers.ModelSerializer):
    contact_type = ContactTypeSerializer()
    phones = serializers.SlugRelatedField(many=True, read_only=True, slug_field="phone_number")
    emails = serializers.SlugRelatedField(many=True, read_only=True, slug_field="email_address")

    class Meta:
        model = Contact
        fields = ["contact_id", "first_name", "last_name", "contact_type", "phones", "emails"]
