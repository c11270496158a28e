"""No paths: all are the API's."""

urlpatterns = []
