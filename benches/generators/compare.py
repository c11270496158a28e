"""Load generators side by side: CPU per request, pacing and memory of dyno, wrk, wrk2 and oha, in interleaved
rounds.

Every figure comes from outside of the tool that it is of: requests from the server, CPU time from the kernel,
arrivals from the truth server. How late dyno was is the one thing that only dyno knows. See README.md beside
this file.
"""

import argparse
import os
import sys
from collections import namedtuple

import child
import machine
import outputs
import plan
import record
import servers
import summary

DONE, FAILED, USAGE, MISSING, STOPPED = 0, 1, 2, 3, 130

# How much longer than its load a tool may take.
PATIENCE_S = 60

VERSIONS = {
    "dyno": ("--version",),
    "wrk": ("-v",),
    "wrk2": ("-v",),
    "oha": ("--version",),
    "floor": ("--version",),
    "nginx": ("-v",),
    "truth-server": ("--version",),
}

# Where a session runs: `programs` from name to path, None for what isn't there; `files` is the limit of open
# files.
Place = namedtuple("Place", "programs server_prefix generator_prefix files")


def options(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", required=True, metavar="FOLDER", help="where rows and summary go; resumed if it is there"
    )
    parser.add_argument(
        "--dyno", metavar="PATH", help="dyno's release build; without it the others alone are measured"
    )
    parser.add_argument(
        "--floor",
        metavar="PATH",
        help="the example `floor` of dyno-load; without it nothing is compared with it",
    )
    parser.add_argument(
        "--truth", metavar="PATH", help="truth-server; without it nobody's schedule is measured"
    )
    parser.add_argument("--tools", metavar="FOLDER", help="searched for wrk, wrk2, oha and nginx before PATH")
    parser.add_argument(
        "--only", metavar="A,B", help=f"of {', '.join(plan.GROUPS)}, or names of measurements"
    )
    parser.add_argument("--rounds", type=positive, default=10, help="default 10")
    parser.add_argument("--seconds", type=positive, default=10, help="of each measurement; default 10")
    parser.add_argument("--seed", type=int, default=1, help="of the order in each round; default 1")
    parser.add_argument(
        "--cpus", type=two_cpus, default=(0, 1), metavar="SERVER,GENERATOR", help="default 0,1"
    )
    parser.add_argument("--realtime", action="store_true", help="run server and tools under chrt -r 1")
    parser.add_argument(
        "--own-network", action="store_true", help="on a loopback of its own, with more ports; needs root"
    )
    return parser.parse_args(words)


def positive(word):
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word}: not a number above 0, for instance 10")
    return int(word)


def two_cpus(word):
    parts = word.split(",")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or int(parts[0]) == int(parts[1]):
        raise argparse.ArgumentTypeError(f"{word}: not two different CPUs, for instance 0,1")
    return int(parts[0]), int(parts[1])


def main():
    asked = options()
    try:
        place = prepare(asked)
        todo = plan.chosen(plan.measurements(idle_connections(place.files)), asked.only)
        record.open_session(asked.out, settings(asked, place))
        rows = record.read(asked.out)
    except (ValueError, record.RecordError) as error:
        return refuse(error, USAGE)
    except servers.ServerError as error:
        return refuse(error, MISSING)
    stopped = False
    try:
        measure_all(asked, place, todo, rows)
    except KeyboardInterrupt:
        stopped = True
    except servers.ServerError as error:
        return refuse(error, MISSING)
    summary.write(asked, rows, todo, absent(place, todo))
    print(f"{summary.counted(len(rows), 'row')}; {os.path.join(asked.out, 'summary.md')}", file=sys.stderr)
    if stopped:
        return STOPPED
    return DONE if complete(asked, place, todo, rows) else FAILED


def refuse(error, code):
    print(f"compare: {error}", file=sys.stderr)
    return code


def prepare(asked):
    """Finds every program, and refuses what can't be kept to."""
    programs = {name: machine.find(name, asked.tools) for name in ("wrk", "wrk2", "oha", "nginx")}
    # Debian keeps it where only root's PATH looks.
    programs["nginx"] = programs["nginx"] or machine.find("nginx", "/usr/sbin")
    for name, path in (("dyno", asked.dyno), ("floor", asked.floor), ("truth-server", asked.truth)):
        if path and not os.access(path, os.X_OK):
            raise ValueError(f"--{name.split('-')[0]} {path}: no such program")
        programs[name] = path and os.path.abspath(path)
    if not programs["nginx"]:
        raise servers.ServerError(
            "no nginx on PATH: install it (Debian: nginx-light), or name its folder by --tools"
        )
    missing = sorted(set(asked.cpus) - os.sched_getaffinity(0))
    if missing:
        raise ValueError(f"CPU {missing[0]} may not be used here: for instance --cpus 0,1")
    if asked.realtime and not machine.may_be_realtime():
        raise servers.ServerError("chrt -r 1 isn't allowed here: leave --realtime out")
    if asked.own_network:
        try:
            machine.own_network()
        except OSError as error:
            raise servers.ServerError(f"no network of its own: {error}: leave --own-network out") from error
    prefixes = [child.pinned(cpu, asked.realtime) for cpu in asked.cpus]
    return Place(programs, *prefixes, machine.raise_file_limit())


def idle_connections(files):
    return min(plan.IDLE_CONNECTIONS, files - plan.OTHER_FILES)


def settings(asked, place):
    """What must not change between the rows of one folder."""
    versions = {name: machine.version(path, VERSIONS[name]) for name, path in place.programs.items() if path}
    return {
        **machine.facts(),
        "seconds": asked.seconds,
        "seed": asked.seed,
        "cpus_used": list(asked.cpus),
        "realtime": asked.realtime,
        "own_network": asked.own_network,
        "client_ports": machine.client_ports(),
        "idle_connections": idle_connections(place.files),
        "versions": versions,
        "sha256": {name: machine.sha256(place.programs[name]) for name in sorted(versions)},
    }


def absent(place, todo):
    """Programs that `todo` needs and that aren't there."""
    needed = {tool.program for measurement in todo for tool in measurement.tools}
    needed |= {"truth-server"} if any(measurement.server == "truth" for measurement in todo) else set()
    return sorted(name for name in needed if not place.programs[name])


def possible(place, measurement, tool):
    return place.programs[tool.program] and (measurement.server == "nginx" or place.programs["truth-server"])


def wanted(asked, place, todo):
    """Every measurement in its order: rounds outermost, so that a session cut short holds whole rounds."""
    for number in range(1, asked.rounds + 1):
        for measurement in todo:
            for tool in plan.order(measurement, number, asked.seed):
                if possible(place, measurement, tool):
                    yield number, measurement, tool


def complete(asked, place, todo, rows):
    done = record.done(rows)
    return all((what.name, number, tool.name) in done for number, what, tool in wanted(asked, place, todo))


def measure_all(asked, place, todo, rows):
    done = record.done(rows)
    for number, measurement, tool in wanted(asked, place, todo):
        if (measurement.name, number, tool.name) in done:
            continue
        row = {"round": number, **measure(asked, place, measurement, tool)}
        record.append(asked.out, row)
        rows.append(row)
        print(summary.line(row), file=sys.stderr)


def serve(place, measurement):
    """A fresh server for one measurement."""
    program, prefix = place.programs, place.server_prefix
    if measurement.server == "truth":
        return servers.truth(program["truth-server"], prefix)
    return servers.nginx(program["nginx"], prefix, measurement.connections, place.files)


def measure(asked, place, measurement, tool):
    """One tool, once: the row."""
    with serve(place, measurement) as server:
        words = plan.arguments(tool, measurement, server.url + measurement.path, asked.seconds)
        command = (*place.generator_prefix, place.programs[tool.program], *words[1:])
        at, load_before = machine.now(), os.getloadavg()[0]
        served_s, busy_s, own_s = server.cpu_seconds(), machine.busy_seconds(), own_seconds()
        look = server.look if measurement.group == "memory" else lambda: None
        ended = child.run(command, asked.seconds + PATIENCE_S, look)
        served_s = server.cpu_seconds() - served_s
        others_s = machine.busy_seconds() - busy_s - served_s - ended.user_s - ended.system_s
        others_s -= own_seconds() - own_s
        requests = server.taken()
        facts = server.facts(measurement)
    return {
        "measurement": measurement.name,
        "tool": tool.name,
        # Without the folders of this machine: they are nobody else's.
        "argv": [*place.generator_prefix, *words],
        "requests": requests,
        "asked_share": measurement.rate and requests / (measurement.rate * asked.seconds),
        "user_s": ended.user_s,
        "system_s": ended.system_s,
        "seconds": ended.seconds,
        "peak_kib": ended.peak_kib,
        "exit": ended.exit,
        "server_s": served_s,
        "others_s": others_s,
        "load_average": load_before,
        "at": at,
        "complaint": outputs.complaint(tool.program, ended.output, requests),
        **facts,
        "report": outputs.parse(tool.program, ended.output),
    }


def own_seconds():
    """CPU time of this program itself; its children's is counted apart."""
    used = os.times()
    return used.user + used.system


if __name__ == "__main__":
    sys.exit(main())
