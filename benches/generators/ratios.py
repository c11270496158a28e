"""Ratios within rounds, their medians and intervals. Pure."""

import math
from collections import namedtuple
from statistics import mean, median, stdev

# Two-sided 95 % quantiles of Student's t for 1, 2, 3 … degrees of freedom.
T_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)

# Fewer rounds than these give an interval that rests on little: the summary says so.
FEW_ROUNDS = 6

# `low` and `high` are None for a single round.
Ratio = namedtuple("Ratio", "median low high rounds")


def t_95(degrees):
    """Beyond the table its last entry: a little too wide, never too narrow."""
    return T_95[min(degrees, len(T_95)) - 1]


def cpu_per_request_us(row):
    """CPU time of the generator per request that the server counted, in microseconds."""
    return (row["user_s"] + row["system_s"]) / row["requests"] * 1e6


def by_round(rows, value):
    """From (round, tool) to `value(row)`, of rows of one measurement that went well."""
    return {(row["round"], row["tool"]): value(row) for row in rows if usable(row)}


def usable(row):
    return row["exit"] == 0 and row["requests"] > 0


def ratio(rows, tool, reference):
    """Ratio of CPU per request over the rounds that hold both; None when there is none."""
    cost = by_round(rows, cpu_per_request_us)
    rounds = sorted({number for number, _ in cost})
    pairs = [(cost.get((number, tool)), cost.get((number, reference))) for number in rounds]
    return interval([ours / theirs for ours, theirs in pairs if ours and theirs])


def interval(ratios):
    """Median, and the t interval of the mean logarithm: rounds are the sample, never seconds or requests."""
    if not ratios:
        return None
    if len(ratios) == 1:
        return Ratio(ratios[0], None, None, 1)
    logs = [math.log(one) for one in ratios]
    half = t_95(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    centre = mean(logs)
    return Ratio(median(ratios), math.exp(centre - half), math.exp(centre + half), len(ratios))


def judge(found, goal):
    """Whether a ratio meets a goal: the whole interval must."""
    if goal is None:
        return "no goal"
    if found is None:
        return "not measured"
    if found.low is None:
        return "one round: no interval"
    if found.high <= goal:
        return "met"
    if found.low > goal:
        return "**not met**"
    return "undecided: the goal is in the interval"


def judge_each(values, good):
    """Whether figures that are no ratios are `good`: in each round, or in how many."""
    if not values:
        return "not measured"
    count = sum(1 for value in values if good(value))
    if count == len(values):
        return "met"
    return "**not met**" if count == 0 else f"in {count} of {len(values)} rounds"
