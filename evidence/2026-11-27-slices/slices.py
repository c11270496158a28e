"""How blocks differ, by connections and length of slices: `slices.py`, in this folder. Prints the figures of README.md."""

import json
import math
import pathlib
import random
import statistics

BIN_S = 0.025


def spread(counts, slice_s, load_s, guard_bins, draws=1500):
    """Of the log-ratios of blocks that compare nothing with nothing: quads with random labels, at random places."""
    random_ = random.Random(2)
    bins = round(slice_s / BIN_S)
    guard = guard_bins if bins > 2 * guard_bins else 0
    quads = max(1, round(load_s / slice_s / 4))
    ratios = []
    for _ in range(draws):
        at = random_.randrange(len(counts) - 4 * quads * bins + 1)
        sums = {"A": 0, "B": 0}
        for _ in range(quads):
            for label in random_.choice(["ABBA", "BAAB"]):
                sums[label] += sum(counts[at + guard : at + bins])
                at += bins
        ratios.append(math.log(sums["A"] / sums["B"]))
    return statistics.pstdev(ratios)


def blocks(session):
    for path in sorted(session.glob("blocks/*.json")):
        block = json.loads(path.read_text())
        if block["state"] == "complete":
            yield block


def trial_rates(block):
    """Answers each second of each stack's slices, in order of time, by stack: the baseline's is the shortest name."""
    rates = {}
    for trial in block["trials"]:
        slices = sorted(trial["slices"], key=lambda one: one["at_ns"])
        rates[trial["stack"]] = [one["outcome"]["window_completed"] / one["outcome"]["window_ns"] * 1e9 for one in slices]
    return rates


def duet(session):
    ratios, within, lengths, base = [], [], [], []
    for block in blocks(session):
        rates = trial_rates(block)
        if len(rates) != 2:
            return
        baseline, other = sorted(rates, key=len)
        pairs = [math.log(b / a) for a, b in zip(rates[baseline], rates[other])]
        ratios.append(math.log(sum(rates[other]) / sum(rates[baseline])))
        within.append(statistics.variance(pairs) / len(pairs))
        lengths.append(block["length_ns"] / 1e9)
        base.append(statistics.mean(rates[baseline]))
    if len(ratios) > 1:
        print(
            f"{session.parent.parent.name} {session.name}: {other} over {baseline}, {len(ratios)} blocks of "
            f"{statistics.mean(lengths):.1f} s, {len(pairs)} slices each; mean {statistics.mean(ratios):+.3f}, spread "
            f"{statistics.stdev(ratios):.3f}, of it slices {statistics.mean(within) ** 0.5:.3f}; {statistics.mean(base):.0f}/s"
        )


def cpu(session):
    """CPU time of the server for an answer, in us, by stack: mean over blocks and its standard error."""
    costs = {}
    for block in blocks(session):
        for trial in block["trials"]:
            used = sum(one["cpu_ns"]["server"] for one in trial["slices"])
            answers = sum(one["outcome"]["window_completed"] for one in trial["slices"])
            costs.setdefault(trial["stack"], []).append(used / answers / 1e3)
    for stack, values in sorted(costs.items()):
        print(
            f"  {stack}: {statistics.mean(values):.0f} ± {statistics.stdev(values) / len(values) ** 0.5:.0f} us over {len(values)} blocks"
        )


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    rehearsal = json.loads((here / "runs/connections-16/sessions/size-0/rehearsal.json").read_text())
    placebo = next(one["counts"] for one in rehearsal["traces"] if one["purpose"] == "placebo")
    spin = json.loads((here / "spin.json").read_text())
    for name, counts, load_s in [("placebo, 16 connections", placebo, 16), ("spin", spin, 32)]:
        for slice_s in (0.1, 0.25, 0.5, 1, 2):
            print(f"{name}: slices of {slice_s} s, blocks of {load_s} s: {spread(counts, slice_s, load_s, 3):.2%}")
    for session in sorted(here.glob("runs/*/sessions/*")):
        duet(session)
    print("CPU of a request, burn by the clock:")
    cpu(here / "runs/burn")
