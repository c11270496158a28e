"""Django's own refusals as JSON."""

from django.http import JsonResponse


def no_such_path(request, exception):
    return JsonResponse({"detail": "no such path"}, status=404)
