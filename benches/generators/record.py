"""The raw rows on disk: each appended at once, read again to resume. A session that ends loses one."""

import json
import os

RAW = "raw.jsonl"
SESSION = "session.json"


class RecordError(Exception):
    """A folder that can't be gone on with; the words say why and what to do."""


def open_session(folder, settings):
    """Begins a session in `folder`, or goes on with the one that is there if its settings are the same."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, SESSION)
    if not os.path.exists(path):
        if os.path.exists(os.path.join(folder, RAW)):
            raise RecordError(f"{folder} holds {RAW} without {SESSION}: take another --out")
        write_whole(path, json.dumps(settings, indent=2) + "\n")
        return
    before = settings_of(folder)
    keys = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
    if keys:
        key = keys[0]
        raise RecordError(
            f"{path}: `{key}` was {before.get(key)!r} and is now {settings.get(key)!r}: rows of both in one "
            "folder would compare unlike things; take another --out"
        )


def settings_of(folder):
    """What the session in `folder` was begun with."""
    path = os.path.join(folder, SESSION)
    try:
        with open(path) as file:
            return json.load(file)
    except ValueError as error:
        raise RecordError(f"{path}: {error}: take another --out") from error


def write_whole(path, text):
    """Replaces a file at once or not at all."""
    beside = f"{path}.new"
    with open(beside, "w") as file:
        file.write(text)
    os.replace(beside, path)


def read(folder):
    """All rows. A last line that was cut off when a session ended is taken away."""
    path = os.path.join(folder, RAW)
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        whole, _, cut = file.read().rpartition(b"\n")
    if cut:
        os.truncate(path, len(whole) + 1 if whole else 0)
    rows = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise RecordError(
                f"{path}, line {number}: {error}: remove the line to measure it again"
            ) from error
    return rows


def append(folder, row):
    with open(os.path.join(folder, RAW), "a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def key(row):
    return row["measurement"], row["round"], row["tool"]


def done(rows):
    """What needn't be measured again. What failed is: its row stays, and a later one stands beside it."""
    return {key(row) for row in rows if row["exit"] == 0}


def of(rows, measurement):
    return [row for row in rows if row["measurement"] == measurement]
