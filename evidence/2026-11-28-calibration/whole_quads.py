"""A disturbed slice alone left out, or its whole quad with it: a block's spread within its session, weighted."""

import math
import statistics

import longer


def log_ratio(block, whole):
    sums = [[0, 0], [0, 0]]
    for change, pairs in longer.quads(block):
        weight = max(round(64 * 0.05**2 / (0.05**2 + (0.3 * change) ** 2)), 1)
        if whole and any(longer.disturbed(one) for pair in pairs for one in pair):
            continue
        for sum_, pair in zip(sums, pairs):
            for one in pair:
                if not longer.disturbed(one):
                    sum_[0] += weight * one["outcome"]["window_completed"]
                    sum_[1] += weight * one["outcome"]["window_ns"]
    (other, other_ns), (stack, stack_ns) = sums
    return math.log(other / other_ns / (stack / stack_ns)) if other_ns and stack_ns else None


kept = list(longer.sessions())
quads = [pairs for _, blocks in kept for block in blocks for _, pairs in longer.quads(block)]
slices = [[longer.disturbed(one) for pair in pairs for one in pair] for pairs in quads]
print(f"{sum(map(sum, slices))} disturbed slices in {sum(map(any, slices))} quads of {len(quads)}")
for whole in (False, True):
    every = [[log_ratio(block, whole) for block in blocks] for _, blocks in kept]
    variances = [statistics.variance([one for one in d if one is not None]) for d in every]
    print("whole quads" if whole else "slices alone", f"{math.sqrt(statistics.mean(variances)):.2%}")
