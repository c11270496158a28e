"""What the pages cost the machine: `cost.py DYNO` (a path to the program), with nothing else at work.

A short run with `--live`, and `dyno up`, each without a page open and with one: a reader of the page's stream, as a
browser is one (a browser's own CPU time would be another machine's). Prints JSON.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")
UP_S = 40


def own_cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def read(url, counts):
    try:
        with urllib.request.urlopen(f"{url}api/stream", timeout=600) as stream:
            while chunk := stream.readline():
                counts["bytes"] += len(chunk)
                counts["states"] += chunk.startswith(b"data:")
    except OSError:
        pass


def url_of(process, lines):
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"(http://127\.0\.0\.1:\d+/)", line):
            return found[1]
    raise SystemExit("".join(lines))


def start(arguments):
    return subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def live(dyno, open_page):
    lines = []
    process = start([dyno, "run", "smoke", "--live", "--no-auth"])
    url = url_of(process, lines)
    counts = {"bytes": 0, "states": 0}
    if open_page:
        threading.Thread(target=read, args=(url, counts), daemon=True).start()
    lines.extend(process.stderr)
    process.wait()
    cost = next(line.strip() for line in lines if "page used" in line)
    return {"what": "dyno run smoke --live", "page": open_page, "said": cost, **counts}


def up(dyno, open_page):
    lines = []
    process = start([dyno, "up", "flask/uwsgi/nginx", "--no-auth"])
    url = url_of(process, lines)
    threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True).start()
    counts = {"bytes": 0, "states": 0}
    if open_page:
        threading.Thread(target=read, args=(url, counts), daemon=True).start()
    time.sleep(5)
    before, begin = own_cpu_s(process.pid), time.monotonic()
    time.sleep(UP_S)
    used, passed = own_cpu_s(process.pid) - before, time.monotonic() - begin
    process.terminate()
    process.wait()
    return {
        "what": "dyno up flask/uwsgi/nginx",
        "page": open_page,
        "cpu_s": round(used, 2),
        "of_s": round(passed, 1),
        "percent_of_a_core": round(100 * used / passed, 2),
        **counts,
    }


if __name__ == "__main__":
    dyno = sys.argv[1]
    rows = []
    for turn in range(2):
        for open_page in (False, True):
            rows += [live(dyno, open_page), up(dyno, open_page)]
            print(json.dumps(rows[-2:], indent=1), flush=True)
