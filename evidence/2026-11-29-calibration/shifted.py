"""What would have been found had the slowdown been just 3 %: each block's log-ratio moved by one constant, so that the mean over a
calibration's A/B sessions is that of 3 %. Decided at the first look, eight blocks, only: what a session that wasn't decided there would
have said later isn't known. Figures are METHOD's, section 4: c of that look and its level.
"""

import itertools
import json
import math
import pathlib
import statistics
import tarfile

HERE = pathlib.Path(__file__).parent
C, LEVEL, BLOCKS = 1.194, 0.0118, 8


def disturbed(one):
    machine = one["machine"]
    return max(machine["foreign_ns"] + machine["steal_ns"] - 20e6, 0) / one["outcome"]["window_ns"] > 0.10


def log_ratio(block, baseline):
    """As dyno weighs it: `crates/analyse/src/weights.rs`."""
    stack, other = sorted(block["trials"], key=lambda trial: trial["stack"] != baseline)
    sums = [[0, 0], [0, 0]]
    for at in range(0, len(stack["slices"]) - 1, 2):
        pairs = [trial["slices"][at : at + 2] for trial in (other, stack)]
        quad = [one for pair in pairs for one in pair]
        if any(map(disturbed, quad)):
            continue
        speeds = [one["speed"][end] for one in quad for end in ("before", "after")]
        change = max(speeds) / min(speeds) - 1
        weight = max(round(64 * 0.05**2 / (0.05**2 + (0.3 * change) ** 2)), 1)
        for sum_, pair in zip(sums, pairs):
            for one in pair:
                sum_[0] += weight * one["outcome"]["window_completed"]
                sum_[1] += weight * one["outcome"]["window_ns"]
    (other, other_ns), (stack, stack_ns) = sums
    return math.log(other / other_ns / (stack / stack_ns))


def found(d):
    half = C * statistics.stdev(d)
    sums = [abs(sum(s * x for s, x in zip(signs, d))) for signs in itertools.product((1, -1), repeat=len(d))]
    p = sum(one >= abs(sum(d)) - 1e-12 for one in sums) / len(sums)
    return statistics.mean(d) + half < 0 and p <= LEVEL


def sessions(folder):
    for index, session in enumerate(json.loads((folder / "calibration.json").read_text())["sessions"]):
        name = f"{index:04}-{session['kind']}"
        with tarfile.open(folder / "sessions" / f"{name}.tar.xz") as archive:
            run = json.load(archive.extractfile(f"{name}/run.json"))
            members = sorted(one for one in archive.getnames() if "/blocks/" in one)[:BLOCKS]
            blocks = [json.load(archive.extractfile(one)) for one in members]
        yield session["kind"], [log_ratio(one, run["plan"]["baseline"]) for one in blocks]


for folder in sorted(one for one in HERE.iterdir() if one.is_dir()):
    every = list(sessions(folder))
    spread = math.sqrt(statistics.mean(statistics.variance(d) for _, d in every))
    ab = [d for kind, d in every if kind == "ab"]
    mean = statistics.mean(map(statistics.mean, ab))
    print(f"{folder.name}: spread of a block {spread:.2%}, A/B in the mean {math.expm1(-mean):.2%}")
    for share in (math.expm1(-mean), 0.03, 0.025):
        move = -math.log1p(share) - mean
        hits = sum(found([one + move for one in d]) for d in ab)
        print(f"  at {share:.2%}: {hits} of {len(ab)} found with eight blocks")
