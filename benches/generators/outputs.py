"""What tools and servers print, read: nginx's counts, dyno's report, and what any tool complains of. Pure."""

import json

# A whole dyno object is kept; what the others print is cut here.
LONGEST_KEPT = 4000


def parse(program, text):
    """The tool's own report: an object of dyno, else the text's end. None where dyno printed no object."""
    if program != "dyno":
        return text[-LONGEST_KEPT:]
    try:
        report = json.loads(text)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def complaint(program, text, requests):
    """Why a row shouldn't be believed as it stands; None when nothing speaks against it."""
    if program == "dyno":
        return complaint_of_dyno(parse(program, text), requests)
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if complains(program, line)), None)


def complains(program, line):
    """wrk names socket errors and wrong statuses. oha lists statuses and errors; among these is one for each
    connection that its own deadline cut off, which the others don't mention."""
    if program == "oha":
        return line.startswith("[") and not (line.startswith("[200]") or "aborted due to deadline" in line)
    return line.startswith(("Socket errors:", "Non-2xx"))


def complaint_of_dyno(report, requests):
    if report is None:
        return "dyno printed no JSON object"
    failed = count(report.get("failed", 0))
    if failed:
        return f"dyno counts {failed} failed requests: {report['failed']}"
    if report.get("sent") != requests:
        return f"dyno says that it sent {report.get('sent')} requests, the server counted {requests}"
    return None


def count(failed):
    """Failures by kind may be nested; all their numbers are counts."""
    if isinstance(failed, dict):
        return sum(count(one) for one in failed.values())
    return failed if isinstance(failed, int) else 0


def stub_status(text):
    """Connections that are open, and requests that nginx ever began, of nginx's stub_status page."""
    lines = text.splitlines()
    if len(lines) < 3 or not lines[0].startswith("Active connections:"):
        raise ValueError(f"no stub_status page: {text[:80]!r}")
    return int(lines[0].split(":")[1]), int(lines[2].split()[2])


def spoken_checks(report):
    """What dyno's self-checks say against its own numbers, in words."""
    checks = (report or {}).get("checks", [])
    return [f"{one['id']}: {one['words']}" for one in checks if one["outcome"] in ("flag", "fail")]
