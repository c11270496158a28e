"""Prints what docs/design/2026-11-28-speed.md says, from the raw data here."""

import json
import math
import statistics

HERE = __file__.rpartition("/")[0] or "."


def weight(change):
    return 0.05**2 / (0.05**2 + (0.3 * change) ** 2)


def loops():
    rows = [[float(word) for word in line.split()] for line in open(f"{HERE}/loops.txt")]
    for name, values in zip(("one chain", "eight chains", "interpreter"), zip(*rows)):
        mean = statistics.mean(values)
        tenth = sorted(values)[len(values) // 10] / mean
        print(f"{name}: spread {statistics.pstdev(values) / mean:.3f}, slowest tenth below {tenth:.2f}")


def spins():
    """Made-up ABBA quads from one trace: 5 ms for each spin between slices."""
    turns = [max(one, 1) for one in json.load(open(f"{HERE}/spins-5ms.json"))]
    for length_ms in (50, 100, 250, 500):
        bins = length_ms // 5
        quads = []
        for begin in range(0, len(turns) - 4 * (bins + 1) - 1, 4 * (bins + 1)):
            at = [begin + slice_ * (bins + 1) for slice_ in range(5)]
            around = [turns[one] for one in at]
            a, b, c, d = (math.log(sum(turns[one + 1 : one + 1 + bins])) for one in at[:4])
            quads.append(((a - b - c + d) / 2, max(around) / min(around) - 1))
        seconds = len(turns) * 0.005

        def error(weights):
            total = sum(weights)
            squares = sum((w * ratio) ** 2 for w, (ratio, _) in zip(weights, quads))
            return math.sqrt(squares) / total * math.sqrt(seconds / 60)

        equal = error([1.0] * len(quads))
        weighted = error([weight(change) for _, change in quads])
        print(f"{length_ms} ms, {len(quads)} quads: error of a minute {equal:.4f}, weighted {weighted:.4f}")


loops()
spins()
