"""What the rows say: summary.md, and a README.md with command, versions and machine. Pure but for writing."""

import os
import shlex
from collections import namedtuple
from statistics import median

import outputs
import plan
import ratios
import record

# One line of the table of goals, all in words.
Line = namedtuple("Line", "what goal measured verdict")

# A row beside which everybody else used more than this share of one CPU wasn't measured in quiet.
QUIET = 0.05
# A tool that sent less than this share of what was asked for is no comparison at that rate.
KEPT_RATE = 0.95


def line(row):
    """One row for the terminal."""
    cost = f"{ratios.cpu_per_request_us(row):8.2f} us" if row["requests"] else "       –   "
    note = "" if row["exit"] == 0 else f"  exit {row['exit']}"
    note += f"  {row['complaint']}" if row["complaint"] else ""
    return f"{row['round']:3} {row['measurement']:14} {row['tool']:20} {row['requests']:9} {cost}{note}"


def write(asked, rows, todo, absent):
    """Both pages, each at once or not at all."""
    session = record.settings_of(asked.out)
    rows = latest(rows)
    record.write_whole(os.path.join(asked.out, "summary.md"), summary(rows, todo, session, absent))
    record.write_whole(os.path.join(asked.out, "README.md"), readme(asked, rows, session))


def latest(rows):
    """The last row of each measurement, round and tool: one that failed gives way to its repetition."""
    return list({record.key(row): row for row in rows}.values())


def summary(rows, todo, session, absent):
    goals = [
        line for measurement in todo for line in goal_lines(record.of(rows, measurement.name), measurement)
    ]
    parts = [
        "# Load generators side by side\n",
        table(Line("what", "goal", "measured", "verdict"), goals),
        INTERVALS,
        *(f"**{warning}**\n" for warning in few_rounds(rows)),
        "## Each tool, medians over rounds\n",
        table(FIGURES, figures(rows, todo)),
        "## What to doubt\n",
        bullets([*doubts(rows, session), *(f"{name} wasn't there: its rows are missing" for name in absent)]),
    ]
    return "\n".join(parts)


INTERVALS = """
Ratios are of CPU time per request (user and system, from the kernel; requests counted by the server),
each within one round: the median, and in brackets the 95 % t interval of the mean logarithm over rounds.
A ratio meets its goal when the whole interval does. A figure that is no ratio is given as its median
over rounds, with least and most in brackets; it meets its goal when it does in each round. Schedule
errors are of the whole run: a tool that starts slowly or catches up has that in them.
"""


def few_rounds(rows):
    rounds = {row["round"] for row in rows}
    if 0 < len(rounds) < ratios.FEW_ROUNDS:
        yield f"Only {counted(len(rounds), 'round')}: an interval over so few rests on little."


def goal_lines(rows, measurement):
    """The lines of one measurement in the table of goals."""
    rows = [row for row in rows if ratios.usable(row)]
    lines = [ratio_line(rows, measurement, comparison) for comparison in measurement.comparisons]
    of = {"schedule-5000": schedule_lines, "memory": memory_lines, "late-20000": late_lines}
    return [*lines, *of.get(measurement.name, lambda *_: [])(rows, measurement)]


def ratio_line(rows, measurement, comparison):
    found = ratios.ratio(rows, comparison.tool, comparison.reference)
    goal = "–" if comparison.goal is None else f"<= {comparison.goal}"
    what = f"{measurement.name}: CPU per request, {comparison.tool} / {comparison.reference}"
    return Line(what, goal, ratio_words(found), ratios.judge(found, comparison.goal))


def ratio_words(found):
    if found is None:
        return "–"
    if found.low is None:
        return f"{found.median:.3f} ({counted(1, 'round')})"
    return f"{found.median:.3f} [{found.low:.3f}, {found.high:.3f}] ({counted(found.rounds, 'round')})"


def spread_words(values, unit):
    if not values:
        return "–"
    rounds = counted(len(values), "round")
    return f"{median(values):.1f} {unit} [{min(values):.1f}, {max(values):.1f}] ({rounds})".replace("  ", " ")


def schedule_lines(rows, measurement):
    """How far arrivals are from an even schedule. A Poisson process has none: there it is the gaps."""
    lines = []
    for tool in (tool.name for tool in measurement.tools if tool.name != "dyno-poisson"):
        for name, goal in (("p50", plan.SCHEDULE_ERROR_P50_US), ("p99", plan.SCHEDULE_ERROR_P99_US)):
            arrivals = [row["arrivals"] for row in rows if row["tool"] == tool and row["arrivals"]]
            values = [one[f"schedule_error_{name}_us"] for one in arrivals]
            what = f"{measurement.name}: schedule error {name} as the server sees it, {tool}"
            lines.append(absolute_line(what, values, "us", goal, ours=tool == "dyno-uniform"))
    return [*lines, *poisson_lines(rows, measurement)]


# A Poisson process exceeds it once in 100 times (Stephens 1974); METHOD's check G3.
A_SQUARED = 1.959


def poisson_lines(rows, measurement):
    """The statistic grows with the count; over so many gaps it sees a microsecond: no goal is set."""
    values = [
        row["arrivals"]["a_squared"] for row in rows if row["tool"] == "dyno-poisson" and row["arrivals"]
    ]
    what = f"{measurement.name}: Anderson-Darling of the gaps as the server sees them, dyno-poisson"
    return [Line(what, f"– (Poisson: below {A_SQUARED} in 99 of 100)", spread_words(values, ""), "no goal")]


def absolute_line(what, values, unit, goal, ours):
    if not ours:
        return Line(what, "–", spread_words(values, unit), "no goal")
    verdict = ratios.judge_each(values, lambda value: value <= goal)
    return Line(what, f"<= {goal:g} {unit}", spread_words(values, unit), verdict)


def memory_lines(rows, measurement):
    """Peak resident size of the whole program over its connections: its code is in it, the kernel's sockets
    aren't."""
    lines = []
    for tool in measurement.tools:
        ours = [row for row in rows if row["tool"] == tool.name]
        full = [row for row in ours if row["connections_seen"] >= measurement.connections]
        values = [row["peak_kib"] * 1024 / measurement.connections for row in full]
        what = f"memory: {measurement.connections} connections, peak RSS per connection, {tool.name}"
        if len(full) < len(ours):
            what += f" ({counted(len(ours) - len(full), 'round')} left out: nginx never saw so many open)"
        lines.append(absolute_line(what, values, "bytes", plan.BYTES_PER_CONNECTION, ours=True))
    return lines


def late_lines(rows, measurement):
    """How late dyno says it was; and whether it says so in words when that is too much."""
    reports = [row["report"] for row in rows if row["report"]]
    values = [report["late_us"]["p99"] for report in reports]
    late = [report for report in reports if report["late_us"]["p99"] >= plan.LATE_P99_US]
    told = [report for report in late if outputs.spoken_checks(report)]
    p99 = absolute_line("late-20000: p99 of late, by dyno itself", values, "us", plan.LATE_P99_US, ours=True)
    said = (
        "–"
        if not reports
        else "not once needed"
        if not late
        else f"in {len(told)} of {len(late)} such rounds"
    )
    verdict = "not measured" if not reports else "met" if len(told) == len(late) else "**not met**"
    return [p99, Line("late-20000: a self-check says so where it is more", "always", said, verdict)]


FIGURES = (
    "measurement",
    "tool",
    "rounds",
    "CPU us/request",
    "requests/s",
    "share of the asked",
    "peak RSS MiB",
)


def figures(rows, todo):
    lines = []
    for measurement in todo:
        for tool in measurement.tools:
            ours = [row for row in record.of(rows, measurement.name) if row["tool"] == tool.name]
            ours = [row for row in ours if ratios.usable(row)]
            if ours:
                lines.append((measurement.name, tool.name, str(len(ours)), *figures_of(ours)))
    return lines


def figures_of(rows):
    """`seconds` holds a tool's own start and end: rates are a little low where these are long."""
    kept = [row["asked_share"] for row in rows if row["asked_share"] is not None]
    return (
        # What idle connections cost isn't the requests' doing.
        "–" if rows[0]["measurement"] == "memory" else f"{median(map(ratios.cpu_per_request_us, rows)):.2f}",
        f"{median(row['requests'] / row['seconds'] for row in rows):,.0f}",
        f"{median(kept):.3f}" if kept else "–",
        f"{median(row['peak_kib'] for row in rows) / 1024:.1f}",
    )


def doubts(rows, session):
    """What speaks against the figures, as far as the rows know it."""
    loud = [row for row in rows if row["others_s"] > QUIET * row["seconds"]]
    if loud:
        share = f"{len(loud)} of {counted(len(rows), 'measurement')}"
        yield f"others used more than {QUIET:.0%} of a CPU during {share}"
    failed = [row for row in rows if not ratios.usable(row)]
    if failed:
        yield f"{counted(len(failed), 'measurement')} failed, in no figure: {names(failed)}"
    slow = [row for row in rows if ratios.usable(row) and (row["asked_share"] or 1) < KEPT_RATE]
    if slow:
        share = f"less than {KEPT_RATE:.0%} of the asked rate"
        yield f"{share} came in {counted(len(slow), 'measurement')}: {names(slow)}"
    for row in rows:
        if row["complaint"]:
            yield f"round {row['round']}, {row['measurement']}, {row['tool']}: {row['complaint']}"
    if record.of(rows, "memory") and session["client_ports"] < 2 * session["idle_connections"]:
        yield (
            f"with {session['client_ports']} client ports {session['idle_connections']} connections open "
            "slowly or not all: use --own-network"
        )
    if record.of(rows, "memory") and session["idle_connections"] < plan.IDLE_CONNECTIONS:
        yield (
            f"{session['idle_connections']} idle connections instead of {plan.IDLE_CONNECTIONS}: the limit "
            "of open files (ulimit -Hn) allows no more"
        )
    yield "one machine, loopback, one session: ratios on another machine or over a network will differ"


def counted(number, what):
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def names(rows):
    return ", ".join(sorted({f"{row['measurement']} {row['tool']}" for row in rows}))


def table(head, lines):
    def cells(line):
        return f"| {' | '.join(cell.replace('|', '/') for cell in line)} |"

    return "\n".join([cells(head), "|" + "---|" * len(head), *map(cells, lines), ""])


def bullets(lines):
    return "".join(f"- {line}.\n" for line in lines)


def readme(asked, rows, session):
    """How the figures came about, for somebody who has only the folder."""
    times = sorted(row["at"] for row in rows) or ["nothing measured"]
    return README.format(
        first=times[0],
        last=times[-1],
        command=command(asked),
        seconds=session["seconds"],
        server=session["cpus_used"][0],
        generator=session["cpus_used"][1],
        priority="under SCHED_RR (chrt -r 1)" if session["realtime"] else "at normal priority",
        network="a loopback of its own (network namespace)" if session["own_network"] else "loopback",
        machine=f"{session['cpu']}, {session['cpus']} CPUs, {session['kernel']}",
        rounds=counted(len({row["round"] for row in rows}), "round"),
        versions=bullets([f"{name}: {said}" for name, said in sorted(versions(session).items())]),
    )


def versions(session):
    builds = {
        name: f"{said} (SHA-256 {session['sha256'][name][:12]})" for name, said in session["versions"].items()
    }
    return {**builds, "Python": session["python"]}


def command(asked):
    """The command line anew, so that no folder of this machine is in it."""
    words = ["python3", "benches/generators/compare.py", "--out", short(asked.out)]
    for option in ("dyno", "truth", "tools"):
        path = getattr(asked, option)
        words += [f"--{option}", short(path)] if path else []
    words += ["--only", asked.only] if asked.only else []
    words += ["--rounds", str(asked.rounds), "--seconds", str(asked.seconds), "--seed", str(asked.seed)]
    words += ["--cpus", ",".join(map(str, asked.cpus))]
    words += ["--realtime"] if asked.realtime else []
    words += ["--own-network"] if asked.own_network else []
    return shlex.join(words)


def short(path):
    """A path below the working folder as it is, of another only its name."""
    relative = os.path.relpath(path)
    return os.path.basename(os.path.abspath(path)) if relative.startswith("..") else relative


README = """# Load generators side by side, {first} to {last}

The figures are in [summary.md](summary.md), every measurement with its command line in
[raw.jsonl](raw.jsonl), what was equal for all of them in [session.json](session.json).

```sh
{command}
```

{rounds}; in each every tool once, in random order, {seconds} s each, {priority}, on {network}. A fresh
server for every measurement, pinned to CPU {server}: nginx with one worker (two for the idle connections
where one may not open so many files), or the truth server. The tool on CPU {generator}, with one thread.
Requests are counted by the server, CPU time by the kernel: user and system of the tool's process, with
its start and end.

Machine: {machine}.

{versions}"""
