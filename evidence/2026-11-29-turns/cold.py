"""What a loop of useless turns costs inside other work, as a burning copy of a stack does it: by the number of turns."""

import json
import random
import statistics
import sys
from itertools import repeat
from time import perf_counter_ns

TURNS = (1, 10, 100, 300, 1000, 3000, 10000)


def burn(turns):
    for _ in repeat(None, turns):
        pass


def work():
    rows = [{"id": at, "name": f"name {at}", "tags": [str(at), "x"], "value": at / 7} for at in range(40)]
    return json.loads(json.dumps(sorted(rows, key=lambda row: row["name"])))


def measure(cold):
    seen = {turns: [] for turns in TURNS}
    order = [turns for turns in TURNS for _ in range(1500)]
    random.shuffle(order)
    for turns in order:
        if cold:
            work()
        begin = perf_counter_ns()
        burn(turns)
        seen[turns].append(perf_counter_ns() - begin)
    return {turns: statistics.median(all_ns) for turns, all_ns in seen.items()}


print(sys.version)
for cold in (False, True):
    cost = measure(cold)
    slope = (cost[10000] - cost[1]) / 9999
    for turns in TURNS:
        excess = cost[turns] - cost[1] - slope * (turns - 1)
        print(f"{'after other work' if cold else 'alone'} {turns}: {cost[turns]:.0f} ns, beyond proportion {excess:+.0f} ns")
