"""Turns of an empty loop in bins of 5 ms on one CPU: `python3 spins.py CPU SECONDS > spins-5ms.json`."""

import json
import os
import sys
import time

os.sched_setaffinity(0, {int(sys.argv[1])})
BIN_NS = 5_000_000
end = time.perf_counter_ns() + int(float(sys.argv[2]) * 1e9)
bins, turns, bound = [], 0, time.perf_counter_ns() + BIN_NS
while True:
    for _ in range(100):
        pass
    turns += 1
    now = time.perf_counter_ns()
    if now < bound:
        continue
    bins.append(turns)
    turns, bound = 0, bound + BIN_NS
    while bound < now:
        bins.append(0)
        bound += BIN_NS
    if now > end:
        break
print(json.dumps(bins))
