"""Writes the block log-ratios of a kept run: one row for each stack against the baseline and operation.

python make.py EVIDENCE/RUN FILE
"""

import json
import math
import pathlib
import sys


def rates(run, blocks):
    """Answers per ns of closed-loop slices by (stack, operation), a value for each block."""
    found = {}
    for at, block in enumerate(blocks):
        for trial in block["trials"]:
            for part in trial["slices"]:
                if "closed" not in part["load"]:
                    continue
                key = trial["stack"], part["operation"]
                sums = found.setdefault(key, [[0, 0] for _ in blocks])
                sums[at][0] += part["outcome"]["window_completed"]
                sums[at][1] += part["outcome"]["window_ns"]
    return {key: [done / ns if ns else 0 for done, ns in sums] for key, sums in found.items()}


def main():
    folder, file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    run = json.loads((folder / "run.json").read_text())
    blocks = [json.loads(path.read_text()) for path in sorted((folder / "blocks").glob("*.json"))]
    baseline = run["plan"]["baseline"]
    by_cell = rates(run, blocks)
    lines = [
        f"# evidence/{folder.parent.name}: ln of the rate over {baseline}'s, a column a block, all slices",
        "# stack,operation,...",
    ]
    for (stack, operation), values in by_cell.items():
        base = by_cell.get((baseline, operation))
        if stack == baseline or not base or not all(values) or not all(base):
            continue
        ratios = [f"{math.log(a / b):.4f}" for a, b in zip(values, base, strict=True)]
        lines.append(",".join([stack, operation, *ratios]))
    file.write_text("\n".join(lines) + "\n")


main()
