"""The heartbeat of an app that needs the database."""


def heartbeat(app, error=None):
    """The answer and its status; `error` is what kept the database from answering."""
    if error is None:
        return {f"{app}-server": "ok"}, 200
    return {f"{app}-server": f"no database: {type(error).__name__}"}, 503
