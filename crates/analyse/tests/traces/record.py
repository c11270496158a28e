"""Records a machine's speed: how many units of fixed work one thread does in each 25 ms.

python record.py SECONDS FILE "the machine and what else it does"
"""

import datetime
import hashlib
import os
import pathlib
import platform
import sys
import time

BIN_NS = 25_000_000
# A few microseconds' work: a unit more or less in a bin is far below the noise that is looked for.
UNIT = bytes(1024)


def cpu_model():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def record(bins):
    state = hashlib.sha256()
    counts = []
    end = time.monotonic_ns() + BIN_NS
    count = 0
    while len(counts) < bins:
        state.update(UNIT)
        count += 1
        now = time.monotonic_ns()
        while now >= end and len(counts) < bins:
            counts.append(count)
            count = 0
            end += BIN_NS
    return counts


def main():
    seconds, file, about = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    counts = record(seconds * 1_000_000_000 // BIN_NS)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    lines = [
        f"# {about}",
        f"# {cpu_model()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, {day}",
        "# sha256 over 1 KiB by one thread, units done in each 25 ms, in order",
    ]
    # A row is a second.
    lines += [",".join(map(str, counts[at : at + 40])) for at in range(0, len(counts), 40)]
    pathlib.Path(file).write_text("\n".join(lines) + "\n")


main()
