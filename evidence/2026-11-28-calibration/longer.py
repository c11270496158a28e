"""What longer sessions would have found: sessions of one kind put together in the order they were done.

A block begins with fresh processes and an order of its own, so that the blocks of two sessions are what one session of twice the length
would have had, but for the minutes between them. Intervals are METHOD's at the look of so many blocks. Sessions that dyno's checks refused are in.
"""

import itertools
import json
import math
import random
import statistics
import tarfile

HERE = __file__.rpartition("/")[0] or "."
# c_k of METHOD, section 4, and the level of that look.
LOOKS = {8: (1.194, 0.0118), 16: (0.753, 0.0087), 24: (0.552, 0.0126), 32: (0.462, 0.0137), 48: (0.352, 0.0187)}
STACK = "fastapi-asyncpg/uvicorn:workers=1"


def disturbed(slice_):
    machine, window = slice_["machine"], slice_["outcome"]["window_ns"]
    return max(machine["foreign_ns"] + machine["steal_ns"] - 20e6, 0) / window > 0.10


def quads(block):
    """Each quad: how much the speed changed in it, its slices of the other stack, of the stack."""
    stack, other = sorted(block["trials"], key=lambda trial: trial["stack"] != STACK)
    for at in range(0, len(stack["slices"]) - 1, 2):
        pairs = [trial["slices"][at : at + 2] for trial in (other, stack)]
        speeds = [one["speed"][end] for pair in pairs for one in pair for end in ("before", "after")]
        yield max(speeds) / min(speeds) - 1, pairs


def log_ratio(block, scheme):
    """Of a block's sums: what the other stack does over the stack."""
    every = list(quads(block))
    calmer = max(sorted(change for change, _ in every)[(len(every) - 1) // 2], 0.1)
    sums = [[0, 0], [0, 0]]
    for change, pairs in every:
        weight = {
            "all alike": 1,
            "the calmer half": change <= calmer,
            "weighted": max(round(64 * 0.05**2 / (0.05**2 + (0.3 * change) ** 2)), 1),
        }[scheme]
        for sum_, pair in zip(sums, pairs):
            for one in pair:
                if not disturbed(one):
                    sum_[0] += weight * one["outcome"]["window_completed"]
                    sum_[1] += weight * one["outcome"]["window_ns"]
    (other, other_ns), (stack, stack_ns) = sums
    if not other_ns or not stack_ns:
        return None  # others used the CPUs in all of its slices
    return math.log(other / other_ns / (stack / stack_ns))


def sign_flip(d):
    seen = abs(sum(d))
    if len(d) <= 12:
        sums = [abs(sum(s * x for s, x in zip(signs, d))) for signs in itertools.product((1, -1), repeat=len(d))]
        return sum(one >= seen - 1e-12 for one in sums) / len(sums)
    draw = random.Random(1)
    hits = sum(abs(sum(x if draw.random() < 0.5 else -x for x in d)) >= seen for _ in range(4999))
    return (hits + 1) / 5000


def wilson(hits, of):
    if not of:
        return "-"
    z, p = 1.96, hits / of
    middle, radius = p + z * z / 2 / of, z * math.sqrt(p * (1 - p) / of + z * z / 4 / of / of)
    return f"{hits} of {of} [{(middle - radius) / (1 + z * z / of):.0%}, {(middle + radius) / (1 + z * z / of):.0%}]"


def sessions():
    calibration = json.load(open(f"{HERE}/calibration.json"))
    for index, session in enumerate(calibration["sessions"]):
        name = f"{index:04}-{session['kind']}"
        with tarfile.open(f"{HERE}/sessions/{name}.tar.xz") as archive:
            members = sorted(one for one in archive.getnames() if "/blocks/" in one)
            blocks = [json.load(archive.extractfile(one)) for one in members]
        yield session["kind"], [one for one in blocks if one["state"] == "complete"]


def main():
    kept = list(sessions())
    for scheme in ("all alike", "the calmer half", "weighted"):
        kinds = {"aa": [], "ab": []}
        for kind, blocks in kept:
            d = [log_ratio(one, scheme) for one in blocks]
            kinds[kind].append([one for one in d if one is not None])
        spread = math.sqrt(statistics.mean(statistics.variance(d) for every in kinds.values() for d in every))
        print(f"{scheme}: spread of a block within its session {spread:.4f}")
        for kind, every in kinds.items():
            show(kind, every)


def show(kind, every):
    means = [statistics.mean(d) for d in every]
    error = statistics.stdev(means) / math.sqrt(len(means))
    print(f"  {kind}: {len(every)} sessions, mean {statistics.mean(means):+.4f}, standard error {error:.4f}")
    for blocks, (c, level) in LOOKS.items():
        count = blocks // 8
        groups = [sum(every[at : at + count], []) for at in range(0, len(every) - count + 1, count)]
        groups = [one for one in groups if len(one) == blocks]  # a group with a void block has no look
        slower = faster = ties = 0
        for group in groups:
            mean, half = statistics.mean(group), c * statistics.stdev(group)
            if abs(mean) > half and sign_flip(group) <= level:
                slower, faster = slower + (mean < 0), faster + (mean > 0)
            ties += abs(mean) + half < math.log(1.03)
        found = f"slower {wilson(slower, len(groups))}, faster {wilson(faster, len(groups))}"
        print(f"    {blocks} blocks: {found}, within 3 %: {ties}")


if __name__ == "__main__":
    main()
