"""spread.py RUNS: how far blocks of a stack against its twin differ, as log-ratios of throughput and CPU time per request."""

import json
import math
import pathlib
import statistics
import sys

for runs in sys.argv[1:]:
    for blocks in sorted(pathlib.Path(runs).glob("**/blocks")):
        rate, cost = [], []
        for path in sorted(blocks.glob("*.json")):
            block = json.loads(path.read_text())
            if block["state"] != "complete":
                continue
            sums = {}
            for trial in block["trials"]:
                answers = sum(one["outcome"]["window_completed"] for one in trial["slices"])
                time = sum(one["outcome"]["window_ns"] for one in trial["slices"])
                sums["twin" in trial["stack"]] = answers / time, sum(one["cpu_ns"]["server"] for one in trial["slices"]) / answers
            rate.append(math.log(sums[True][0] / sums[False][0]))
            cost.append(math.log(sums[True][1] / sums[False][1]))
        print(f"{runs}: {len(rate)} blocks; throughput {statistics.mean(rate):+.3f}, spread {statistics.stdev(rate):.3f}; CPU {statistics.mean(cost):+.3f}, spread {statistics.stdev(cost):.3f}")
        print("  " + " ".join(f"{one:+.3f}" for one in rate))
