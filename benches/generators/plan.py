"""What is measured: which tool does what, and which figure is to be reached. Plain data; starts nothing."""

import random
from collections import namedtuple

# `name` in records; `program` is the binary; `options` are dyno's own, else empty.
Tool = namedtuple("Tool", "name program options")

# One row of the plan. `server` is nginx or truth; `rate` is in requests per second over all connections, None
# for a closed loop; `comparisons` are ratios of CPU per request within a round.
Measurement = namedtuple("Measurement", "name group server path connections rate tools comparisons")

# A ratio `tool / reference` of CPU per request. `goal` is the largest that is good enough; None: none is set.
Comparison = namedtuple("Comparison", "tool reference goal")

WRK = Tool("wrk", "wrk", ())
WRK2 = Tool("wrk2", "wrk2", ())
OHA = Tool("oha", "oha", ())
# Without --engine dyno chooses by itself, as its users get it.
DYNO = Tool("dyno", "dyno", ())
DYNO_RING = Tool("dyno-io_uring", "dyno", ("--engine", "io_uring"))
# The engine's system calls and nothing else: crates/load/examples/floor.rs.
FLOOR = Tool("floor", "floor", ())
DYNO_EPOLL = Tool("dyno-epoll", "dyno", ("--engine", "epoll"))
EXACT = ("--pacing", "exact")
DYNO_UNIFORM = Tool("dyno-uniform", "dyno", ("--arrivals", "uniform", *EXACT))
DYNO_POISSON = Tool("dyno-poisson", "dyno", ("--arrivals", "poisson", *EXACT))
# As its users get it: gathered where a wake-up is dear.
DYNO_AUTO = Tool("dyno-auto", "dyno", ("--arrivals", "uniform", "--pacing", "auto"))
DYNO_EPOLL_UNIFORM = Tool(
    "dyno-epoll-uniform", "dyno", ("--engine", "epoll", "--arrivals", "uniform", *EXACT)
)

GROUPS = ("closed", "rate", "memory", "late")

# Goals that are no ratio.
SCHEDULE_ERROR_P50_US = 5.0
SCHEDULE_ERROR_P99_US = 50.0
BYTES_PER_CONNECTION = 4096
LATE_P99_US = 100.0

RATE = 5_000
HIGH_RATE = 20_000
IDLE_CONNECTIONS = 20_000
# Enough to have a schedule at all, few enough that nearly every connection idles.
IDLE_RATE = 100
# Files that a load generator and a server have open besides their connections.
OTHER_FILES = 128


def measurements(idle_connections):
    """All that can be measured, in order; `idle_connections` is what this machine's file limit allows."""
    ratios_closed = (
        Comparison("dyno-io_uring", "wrk", 0.65),
        Comparison("dyno-epoll", "wrk", 0.8),
        Comparison("dyno-io_uring", "floor", 1.1),
        Comparison("floor", "wrk", None),
        Comparison("oha", "wrk", None),
    )
    ratios_rate = (
        Comparison("dyno-auto", "wrk2", 0.75),
        Comparison("dyno-uniform", "wrk2", 0.75),
        Comparison("dyno-uniform", "oha", 0.65),
        Comparison("dyno-poisson", "wrk2", None),
        Comparison("dyno-poisson", "oha", None),
    )
    closed_tools = (DYNO_RING, DYNO_EPOLL, FLOOR, WRK, OHA)
    rate_tools = (DYNO_UNIFORM, DYNO_POISSON, DYNO_AUTO, WRK2, OHA)
    idle_tools = (DYNO_UNIFORM, DYNO_EPOLL_UNIFORM)
    body_ratio = (Comparison("dyno", "wrk", 0.4),)
    return (
        Measurement("closed-64", "closed", "nginx", "/small", 64, None, closed_tools, ratios_closed),
        Measurement("closed-1000", "closed", "nginx", "/small", 1000, None, closed_tools, ratios_closed),
        Measurement("body-100k", "closed", "nginx", "/100k", 64, None, (DYNO, WRK), body_ratio),
        Measurement("rate-5000", "rate", "nginx", "/small", 64, RATE, rate_tools, ratios_rate),
        Measurement("schedule-5000", "rate", "truth", "/", 64, RATE, rate_tools, ()),
        Measurement("memory", "memory", "nginx", "/small", idle_connections, IDLE_RATE, idle_tools, ()),
        Measurement("late-20000", "late", "nginx", "/small", 64, HIGH_RATE, (DYNO_UNIFORM,), ()),
    )


def chosen(everything, only):
    """Those of `everything` that `only`, groups or names with commas between, asks for; None asks for all."""
    if only is None:
        return everything
    words = [word.strip() for word in only.split(",")]
    known = set(GROUPS) | {one.name for one in everything}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise ValueError(f"--only {only}: no `{unknown[0]}` is measured; for instance --only closed,late")
    return tuple(one for one in everything if one.group in words or one.name in words)


def arguments(tool, measurement, url, seconds):
    """The command line of one measurement, without what pins it."""
    connections, rate = str(measurement.connections), measurement.rate
    if tool.program == "dyno":
        paced = () if rate is None else ("--rate", f"{rate}/s")
        return (
            *("dyno", "load", url, "-c", connections, "-d", f"{seconds}s"),
            *("--format", "json", "--quiet", "--threads", "1"),
            *paced,
            *tool.options,
        )
    if tool.program == "floor":
        return ("floor", url, connections, str(seconds))
    if tool.program == "oha":
        paced = () if rate is None else ("-q", str(rate))
        load = ("-z", f"{seconds}s", "-c", connections, "--worker-threads", "1", "--no-tui")
        return ("oha", *load, *paced, url)
    paced = () if rate is None else (f"-R{rate}",)
    return (tool.program, "-t1", f"-c{connections}", f"-d{seconds}s", *paced, url)


def order(measurement, number, seed):
    """The tools of round `number` in random order: the same each time that it is asked for."""
    tools = list(measurement.tools)
    random.Random(f"{seed} {measurement.name} {number}").shuffle(tools)
    return tools
