"""How sure a minute of measuring makes ratios: all stacks up at once, or duets with the anchor.

python3 tables.py RUN...    (folders of runs of tables-together.toml and tables-duets.toml)

For each pair of stacks, neither of them the anchor, a block has one log-ratio of throughput; in duets it is that of each stack to the anchor in
its own duet. Printed: the standard deviation over blocks (pooled over pairs and operations, each run by itself, so that runs may differ), the
length of a block, and the standard deviation that a minute leaves: sd x sqrt(minutes of a block).
"""

import itertools
import json
import math
import pathlib
import statistics
import sys


def rates(trial):
    sums = {}
    for piece in trial["slices"]:
        if "closed" in piece["load"]:
            answers, ns = sums.get(piece["operation"], (0, 0))
            outcome = piece["outcome"]
            sums[piece["operation"]] = (answers + outcome["window_completed"], ns + outcome["window_ns"])
    return {operation: math.log(answers / ns) for operation, (answers, ns) in sums.items()}


def block_logs(block, anchor, duets):
    """Log throughput of each stack but the anchor, less the anchor's where it has a duet with it."""
    logs = {}
    trials = block["trials"]
    if duets:
        for pair in zip(trials[::2], trials[1::2]):
            stacks = {trial["stack"]: rates(trial) for trial in pair}
            assert anchor in stacks and len(stacks) == 2, list(stacks)
            (other,) = set(stacks) - {anchor}
            logs[other] = {one: stacks[other][one] - stacks[anchor][one] for one in stacks[other]}
    else:
        logs = {trial["stack"]: rates(trial) for trial in trials if trial["stack"] != anchor}
    return logs


def main():
    of = {}
    for folder in map(pathlib.Path, sys.argv[1:]):
        plan = json.loads((folder / "run.json").read_text())["plan"]
        duets = plan["design"]["together"] == 2
        blocks = [json.loads(path.read_text()) for path in sorted((folder / "blocks").iterdir())]
        logs = [block_logs(block, plan["baseline"], duets) for block in blocks]
        for pair in itertools.combinations(sorted(logs[0]), 2):
            for operation in plan["operations"]:
                d = [block[pair[0]][operation] - block[pair[1]][operation] for block in logs]
                of.setdefault(duets, {}).setdefault((operation, pair), []).append(d)
        minutes = [block["length_ns"] / 60e9 for block in blocks]
        of[duets].setdefault("minutes", []).extend(minutes)
    for duets, found in sorted(of.items()):
        minutes = statistics.mean(found.pop("minutes"))
        operations = sorted({operation for operation, _ in found})
        for operation in operations:
            runs = [d for (one, _), runs in found.items() if one == operation for d in runs]
            sd = math.sqrt(sum(statistics.variance(d) for d in runs) / len(runs))
            words = "duets with the anchor" if duets else "all at once"
            blocks = len(runs[0]) * len(next(iter(found.values())))
            print(
                f"| {words} | {operation} | {blocks} | {minutes * 60:.0f} s | {sd * 100:.2f} % | {sd * math.sqrt(minutes) * 100:.2f} % |"
            )


if __name__ == "__main__":
    main()
