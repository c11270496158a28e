"""The pure parts of the comparison: ratios, resuming, parsing, and what the pages say."""

import json
import math
import sys

import pytest

import child
import compare
import outputs
import plan
import ratios
import record
import summary

PLAN = plan.measurements(19_000)
CLOSED, RATE, SCHEDULE = PLAN[0], PLAN[3], PLAN[4]
SESSION = {
    "cpu": "a CPU",
    "cpus": 2,
    "kernel": "Linux 6.12",
    "python": "3.11.7",
    "seconds": 10,
    "cpus_used": [0, 1],
    "realtime": False,
    "own_network": False,
    "client_ports": 28_232,
    "idle_connections": 19_000,
    "versions": {"wrk": "wrk 4.1.0"},
    "sha256": {"wrk": "0123456789abcdef"},
}


def row(tool, number=1, cost_us=10.0, measurement=CLOSED.name, **more):
    requests = 1_000_000
    return {
        "measurement": measurement,
        "round": number,
        "tool": tool,
        "requests": requests,
        "asked_share": None,
        "user_s": 0.25 * cost_us * requests / 1e6,
        "system_s": 0.75 * cost_us * requests / 1e6,
        "seconds": 10.0,
        "peak_kib": 4096,
        "exit": 0,
        "others_s": 0.0,
        "complaint": None,
        "at": f"2026-01-0{number}T00:00:00Z",
        "report": None,
        **more,
    }


def rounds(*costs):
    """Rows of rounds with the costs of dyno and of wrk."""
    for number, (ours, theirs) in enumerate(costs, start=1):
        yield row("dyno-io_uring", number, ours)
        yield row("wrk", number, theirs)


# Ratios


def test_cost_is_user_and_system_over_the_servers_count():
    assert ratios.cpu_per_request_us(row("wrk", cost_us=8.5)) == pytest.approx(8.5)


def test_a_ratio_is_taken_within_its_round():
    # The machine halves its speed from round to round; the ratio doesn't move.
    found = ratios.ratio(list(rounds((5, 10), (10, 20), (20, 40))), "dyno-io_uring", "wrk")
    assert found.rounds == 3
    assert (found.median, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_is_students_over_logarithms():
    # Logarithms -d, 0, d: mean 0, standard deviation d, standard error d / √3, t of two degrees 4.303.
    found = ratios.interval([math.exp(-0.1), 1.0, math.exp(0.1)])
    assert found.median == 1.0
    assert math.log(found.high) == pytest.approx(4.303 * 0.1 / math.sqrt(3))
    assert found.low * found.high == pytest.approx(1.0)


def test_a_round_without_its_reference_or_with_a_failure_is_no_pair():
    rows = [
        *rounds((5, 10)),
        row("dyno-io_uring", 2, 5),
        row("wrk", 3, 10, exit=1),
        row("dyno-io_uring", 3, 5),
    ]
    assert ratios.ratio(rows, "dyno-io_uring", "wrk").rounds == 1
    assert ratios.ratio(rows, "dyno-epoll", "wrk") is None


def test_quantiles_fall_with_the_degrees_of_freedom_and_end_a_little_wide():
    assert [ratios.t_95(degrees) for degrees in (1, 9, 30)] == [12.706, 2.262, 2.042]
    assert list(ratios.T_95) == sorted(ratios.T_95, reverse=True)
    assert len(ratios.T_95) == 30
    assert ratios.t_95(1000) == 2.042


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (ratios.Ratio(0.6, 0.58, 0.65, 9), "met"),
        (ratios.Ratio(0.6, 0.58, 0.66, 9), "undecided: the goal is in the interval"),
        (ratios.Ratio(0.7, 0.66, 0.72, 9), "**not met**"),
        (ratios.Ratio(0.6, None, None, 1), "one round: no interval"),
        (None, "not measured"),
    ],
)
def test_a_goal_is_met_by_the_whole_interval(found, verdict):
    assert ratios.judge(found, 0.65) == verdict
    assert ratios.judge(found, None) == "no goal"


def test_figures_that_are_no_ratios_are_judged_in_each_round():
    def judged(*values):
        return ratios.judge_each(values, lambda value: value <= 5)

    assert [judged(), judged(4, 5), judged(6), judged(4, 6, 7)] == [
        "not measured",
        "met",
        "**not met**",
        "in 1 of 3 rounds",
    ]


# The plan


def test_each_round_has_each_tool_once_in_an_order_that_can_be_had_again():
    orders = [plan.order(CLOSED, number, 1) for number in range(20)]
    assert all(sorted(one) == sorted(CLOSED.tools) for one in orders)
    assert orders == [plan.order(CLOSED, number, 1) for number in range(20)]
    assert len({one[0].name for one in orders}) == len(CLOSED.tools)
    assert orders != [plan.order(CLOSED, number, 2) for number in range(20)]


def test_command_lines():
    def line(tool, measurement):
        return " ".join(plan.arguments(tool, measurement, "http://here/", 10))

    dyno = "dyno load http://here/ -c 64 -d 10s --format json --quiet --threads 1"
    assert line(plan.DYNO_EPOLL, CLOSED) == f"{dyno} --engine epoll"
    assert line(plan.DYNO_UNIFORM, RATE) == f"{dyno} --rate 5000/s --arrivals uniform --pacing exact"
    assert line(plan.DYNO_AUTO, RATE) == f"{dyno} --rate 5000/s --arrivals uniform --pacing auto"
    assert line(plan.FLOOR, CLOSED) == "floor http://here/ 64 10"
    assert line(plan.WRK, CLOSED) == "wrk -t1 -c64 -d10s http://here/"
    assert line(plan.WRK2, RATE) == "wrk2 -t1 -c64 -d10s -R5000 http://here/"
    assert line(plan.OHA, RATE) == "oha -z 10s -c 64 --worker-threads 1 --no-tui -q 5000 http://here/"


def test_comparisons_name_tools_of_their_own_measurement():
    for measurement in PLAN:
        names = {tool.name for tool in measurement.tools}
        assert len(names) == len(measurement.tools)
        for comparison in measurement.comparisons:
            assert {comparison.tool, comparison.reference} <= names


def test_only_takes_groups_and_names():
    assert plan.chosen(PLAN, None) == PLAN
    assert [one.name for one in plan.chosen(PLAN, "late, closed-64")] == ["closed-64", "late-20000"]
    with pytest.raises(ValueError, match="--only closed,fast: no `fast` is measured; for instance"):
        plan.chosen(PLAN, "closed,fast")


@pytest.mark.parametrize("words", ["--rounds 0", "--seconds x", "--cpus 0", "--cpus 1,1", "--cpus 0,1,2"])
def test_bad_words_are_refused_with_an_example(words, capsys):
    with pytest.raises(SystemExit) as refused:
        compare.options(["--out", "x", *words.split()])
    assert refused.value.code == compare.USAGE
    assert ", for instance " in capsys.readouterr().err


# Resuming


def test_what_is_there_is_skipped_and_what_failed_is_not(tmp_path):
    for one in (row("wrk"), row("oha", exit=1), row("wrk", 2, exit=None)):
        record.append(tmp_path, one)
    rows = record.read(tmp_path)
    assert record.done(rows) == {("closed-64", 1, "wrk")}
    asked = compare.options(["--out", str(tmp_path), "--rounds", "2"])
    programs = {"wrk": "wrk", "oha": "oha", "dyno": None, "wrk2": None, "floor": None, "truth-server": None}
    place = compare.Place(programs, (), (), 20_000)
    left = [
        (number, tool.name)
        for number, what, tool in compare.wanted(asked, place, [CLOSED])
        if (what.name, number, tool.name) not in record.done(rows)
    ]
    assert sorted(left) == [(1, "oha"), (2, "oha"), (2, "wrk")]
    assert not compare.complete(asked, place, [CLOSED], rows)
    rows += [row("oha"), row("oha", 2), row("wrk", 2)]
    assert compare.complete(asked, place, [CLOSED], rows)


def test_a_line_that_was_cut_off_is_taken_away(tmp_path):
    record.append(tmp_path, row("wrk"))
    raw = tmp_path / record.RAW
    raw.write_text(raw.read_text() + '{"measurement": "clo')
    assert len(record.read(tmp_path)) == 1
    record.append(tmp_path, row("oha"))
    assert [one["tool"] for one in record.read(tmp_path)] == ["wrk", "oha"]
    raw.write_text('{"cut')
    assert record.read(tmp_path) == []
    assert raw.read_text() == ""


def test_a_broken_line_is_named(tmp_path):
    record.append(tmp_path, row("wrk"))
    with open(tmp_path / record.RAW, "a") as file:
        file.write("nonsense\n")
    with pytest.raises(record.RecordError, match=r"raw\.jsonl, line 2: .*remove the line"):
        record.read(tmp_path)


def test_other_settings_are_refused_in_the_same_folder(tmp_path):
    folder = tmp_path / "session"
    record.open_session(folder, SESSION)
    record.open_session(folder, SESSION)
    with pytest.raises(record.RecordError, match="`seconds` was 10 and is now 2"):
        record.open_session(folder, {**SESSION, "seconds": 2})
    (folder / record.SESSION).write_text("{")
    with pytest.raises(record.RecordError, match=r"session\.json"):
        record.open_session(folder, SESSION)


# What tools print


def test_stub_status():
    page = (
        "Active connections: 65 \nserver accepts handled requests\n 70 70 1234567 \nReading: 0 Writing: 1\n"
    )
    assert outputs.stub_status(page) == (65, 1234567)
    with pytest.raises(ValueError, match="no stub_status page: 'Not Found'"):
        outputs.stub_status("Not Found")


def test_dynos_report_is_checked_against_the_server():
    def said(**report):
        return outputs.complaint("dyno", json.dumps(report), 100)

    assert said(sent=100, failed={"timed_out": 0, "reset": 0}) is None
    assert said(sent=101, failed={}) == "dyno says that it sent 101 requests, the server counted 100"
    assert said(sent=100, failed={"timed_out": 2, "reset": 1}).startswith("dyno counts 3 failed requests")
    assert outputs.complaint("dyno", "thread panicked", 100) == "dyno printed no JSON object"


def test_complaints_of_the_others():
    assert outputs.complaint("wrk", "  5 requests in 1.00s\nTransfer/sec: 1MB\n", 5) is None
    errors = "  Socket errors: connect 0, read 3, write 0, timeout 0"
    assert outputs.complaint("wrk2", f"{errors}\n", 5) == errors.strip()
    assert outputs.complaint("wrk", "  Non-2xx or 3xx responses: 7\n", 5) == "Non-2xx or 3xx responses: 7"
    good = "  [200] 9 responses\n\nError distribution:\n  [64] aborted due to deadline\n"
    assert outputs.complaint("oha", good, 9) is None
    assert outputs.complaint("oha", "  [502] 3 responses\n", 9) == "[502] 3 responses"
    assert outputs.complaint("oha", "  [3] connection error\n", 9) == "[3] connection error"


def test_what_self_checks_say():
    outcomes = ("pass", "flag", "fail", "not_made")
    report = {"checks": [{"id": f"G{i}", "outcome": one, "words": one} for i, one in enumerate(outcomes)]}
    assert outputs.spoken_checks(report) == ["G1: flag", "G2: fail"]
    assert outputs.spoken_checks(None) == []


# The pages


def verdicts(rows, measurement):
    return {line.what: (line.measured, line.verdict) for line in summary.goal_lines(rows, measurement)}


def test_goals_of_the_closed_loop():
    lines = verdicts(list(rounds((6, 10), (6, 10))), CLOSED)
    assert lines["closed-64: CPU per request, dyno-io_uring / wrk"] == (
        "0.600 [0.600, 0.600] (2 rounds)",
        "met",
    )
    assert lines["closed-64: CPU per request, dyno-epoll / wrk"] == ("–", "not measured")


def test_goals_of_the_schedule():
    def at(number, p50, p99):
        arrivals = {"schedule_error_p50_us": p50, "schedule_error_p99_us": p99, "a_squared": 1.0}
        return row("dyno-uniform", number, measurement=SCHEDULE.name, arrivals=arrivals)

    lines = verdicts([at(1, 4, 30), at(2, 5, 60)], SCHEDULE)
    error = "schedule-5000: schedule error {} as the server sees it, dyno-uniform"
    assert lines[error.format("p50")] == ("4.5 us [4.0, 5.0] (2 rounds)", "met")
    assert lines[error.format("p99")] == ("45.0 us [30.0, 60.0] (2 rounds)", "in 1 of 2 rounds")


def test_memory_counts_only_where_all_connections_were_seen():
    memory = PLAN[5]
    kib = 4 * memory.connections
    rows = [
        row("dyno-uniform", 1, measurement="memory", peak_kib=kib, connections_seen=19_000),
        row("dyno-uniform", 2, measurement="memory", peak_kib=kib // 2, connections_seen=900),
    ]
    lines = verdicts(rows, memory)
    (what,) = [name for name in lines if "dyno-uniform" in name]
    assert "1 round left out" in what
    assert lines[what] == ("4096.0 bytes [4096.0, 4096.0] (1 round)", "met")


def test_lateness_must_be_told():
    def at(number, p99, outcome):
        checks = [{"id": "G2", "outcome": outcome, "words": "late"}]
        report = {"late_us": {"p99": p99}, "checks": checks}
        return row("dyno-uniform", number, measurement="late-20000", report=report)

    told = "late-20000: a self-check says so where it is more"
    late = PLAN[6]
    assert verdicts([at(1, 50, "pass")], late)[told] == ("not once needed", "met")
    assert verdicts([at(1, 500, "flag"), at(2, 50, "pass")], late)[told] == ("in 1 of 1 such rounds", "met")
    assert verdicts([at(1, 500, "pass")], late)[told] == ("in 0 of 1 such rounds", "**not met**")
    assert verdicts([], late)[told] == ("–", "not measured")


def test_the_summary_says_what_to_doubt():
    rows = [
        *rounds((6, 10), (6, 10)),
        row("oha", 1, exit=1),
        row("wrk2", 1, measurement=RATE.name, asked_share=0.8, others_s=5.0, complaint="Non-2xx"),
    ]
    page = summary.summary(rows, PLAN, SESSION, ["dyno"])
    for words in (
        "Only 2 rounds: an interval over so few rests on little.",
        "others used more than 5% of a CPU during 1 of 6 measurements",
        "1 measurement failed, in no figure: closed-64 oha",
        "less than 95% of the asked rate came in 1 measurement: rate-5000 wrk2",
        "round 1, rate-5000, wrk2: Non-2xx",
        "dyno wasn't there",
    ):
        assert words in page
    assert "client ports" not in page
    assert "Only" not in summary.summary(list(rounds(*[(6, 10)] * 6)), PLAN, SESSION, [])


def test_too_few_ports_for_the_idle_connections_are_told():
    rows = [row("dyno-uniform", measurement="memory", connections_seen=900)]
    told = "with 28232 client ports 19000 connections open slowly or not all: use --own-network"
    assert told in summary.summary(rows, PLAN, SESSION, [])
    assert told not in summary.summary(rows, PLAN, {**SESSION, "client_ports": 64_512}, [])


def test_a_repetition_takes_the_place_of_a_failure():
    assert summary.latest([row("wrk", exit=1), row("oha"), row("wrk")]) == [row("wrk"), row("oha")]


def test_the_readme_names_no_folder_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = compare.options(
        ["--out", "evidence/x", "--dyno", "/somewhere/else/dyno", "--only", "closed", "--realtime"]
    )
    page = summary.readme(asked, [row("wrk")], SESSION)
    assert "compare.py --out evidence/x --dyno dyno --only closed --rounds 10 --seconds 10" in page
    assert "--cpus 0,1 --realtime" in page
    assert "wrk: wrk 4.1.0 (SHA-256 0123456789ab)" in page
    assert "/somewhere" not in page


# Children


def test_a_child_is_accounted_by_the_kernel():
    looks = []
    busy = (
        "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass\nprint('done')"
    )
    ended = child.run([sys.executable, "-c", busy], 60, lambda: looks.append(1))
    assert (ended.exit, ended.output) == (0, "done\n")
    assert ended.user_s + ended.system_s >= 0.6
    assert ended.peak_kib > 1000
    assert looks


def test_a_childs_memory_isnt_its_parents():
    ballast = bytearray(200 << 20)
    ended = child.run(["sleep", "0.4"], 60, lambda: None)
    assert ended.peak_kib * 1024 < len(ballast) / 4


def test_a_child_that_doesnt_end_is_killed_and_has_no_exit_code():
    ended = child.run(["sleep", "60"], 0.3, lambda: None)
    assert ended.exit is None


def test_a_childs_own_exit_code_is_kept():
    assert child.run(["sh", "-c", "exit 7"], 60, lambda: None).exit == 7
    assert child.run(["sh", "-c", "kill -9 $$"], 60, lambda: None).exit == -9
