"""What the comparisons share: calling rook and workers, facts about the machine, measuring in turn, results and tables.

Standard library and numpy only.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = pathlib.Path(os.environ.get("ROOK_BENCH_RESULTS") or ROOT / "bench" / "results")


def say(text):
    print(text, file=sys.stderr, flush=True)


def die(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {text}")


def one_line_errors(main):
    """Runs main; of a program that failed, its command and its last words."""
    try:
        main()
    except RuntimeError as error:
        lines = str(error).splitlines()
        die(lines[0] if len(lines) == 1 else f"{lines[0]}: {lines[-1]}")


def rook_program():
    program = os.environ.get("ROOK", str(ROOT / "build" / "release" / "rook"))
    if not os.access(program, os.X_OK):
        die(f"{program}: is not a program; build it with `./run build` or name another one with ROOK=...")
    return program


def threads():
    """Cores that this process may use; OMP_NUM_THREADS asks for fewer."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def precisions(device="cpu"):
    """What rook is measured in: bf16 only where the device computes in it."""
    if device == "cuda" or device == "auto" and os.path.exists("/dev/nvidiactl"):
        return ["f32", "bf16"]
    flags = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    return ["f32", "bf16"] if "avx512_bf16" in flags else ["f32"]


def environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": str(threads()), **more}


def run_program(command, env=None, says=False, seconds=None):
    """Standard output of a command; its own words when it fails, unless what it says is shown at once. It may be given
    so many seconds at most."""
    try:
        done = subprocess.run([str(c) for c in command], env=env or environment(), stdout=subprocess.PIPE,
                              stderr=None if says else subprocess.PIPE, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(map(str, command))}\ntook longer than {seconds:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{(done.stderr or 'its words stand above').strip()}")
    return done.stdout


def rook_json(*arguments, **env):
    """What a rook command reports with `--json -`."""
    return json.loads(run_program([rook_program(), *arguments, "--json", "-"], environment(**env)))


def rook_bench(what, *arguments, **env):
    """Figures of one batch size of `rook bench net` or `train`, with what its report says of where it was measured."""
    report = rook_json("bench", what, *arguments, **env)
    (row,) = report.pop("rows")
    return report | row


def worker(script, arguments, says=False, **env):
    """Runs `script worker ARGUMENTS` in a process of its own, so that its peak memory is its own; the JSON it prints."""
    program = pathlib.Path(script).resolve()
    return json.loads(run_program([sys.executable, program, "worker", *arguments], environment(**env), says))


def peak_megabytes():
    """Largest resident memory of this process image so far. Not ru_maxrss: Linux lets a child inherit that of the
    process that started it."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


# ---- results --------------------------------------------------------------------------------------------------------


def cpu_name():
    """As rook names it (processor_name in model/conv_cache.h): of a machine in a cloud the name alone says little."""
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    fields = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if {"cpu family", "model"} <= fields.keys() else name


def commit():
    """The commit of the checkout, with "+changes" where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    except OSError:  # there is no git
        return "unknown"
    if head.returncode != 0:
        return "unknown"
    status = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def machine():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": cpu_name(),
        "threads": threads(),
        "commit": commit(),
    }


def heading(**versions):
    """What every result file starts with."""
    return machine() | {
        "versions": {
            "rook": run_program([rook_program(), "--version"]).strip(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            **versions,
        },
    }


def dumps(result):
    """JSON with a line for each of `rows`, of which there may be many."""
    rows = result.get("rows")
    if not rows:
        return json.dumps(result, indent=1) + "\n"
    rest = json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=1)
    return rest[:-2] + ',\n "rows": [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]\n}\n"


def replace_text(file, text):
    """Whole or not at all: written beside the file, then renamed."""
    file = pathlib.Path(file)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text)
    os.replace(beside, file)


def put(file, text):
    """Writes a result of the steps of gpu.sh, also to $OUT: what there is must be there when the step is stopped."""
    replace_text(file, text)
    if out := os.environ.get("OUT"):
        os.makedirs(out, exist_ok=True)
        replace_text(pathlib.Path(out) / pathlib.Path(file).name, text)


def save(name, result):
    """bench/results/NAME-DATE.json ($ROOK_BENCH_RESULTS is another folder); its name is also added to the list $ROOK_BENCH_LIST, of which the report is made."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = result["date"].replace("-", "").replace(":", "")
    file = RESULTS / f"{name}-{stamp}.json"
    replace_text(file, dumps(result))
    say(f"written: {os.path.relpath(file)}")
    if listed := os.environ.get("ROOK_BENCH_LIST"):
        with open(listed, "a") as out:
            out.write(f"{file}\n")
    return file


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def print_table(title, header, rows):
    print(f"\n### {title}\n\n{markdown_table(header, rows)}", flush=True)


def operations_beside_torch(result):
    """A Markdown table of the cases of vs_torch.py ops; in brackets the least and the most of the rounds."""
    theirs = {(r["op"], r["case"], r["batch"], r["type"]): r for r in result["rows"] if r["row"] == "torch"}
    rows = []
    for r in result["rows"]:
        if r["row"] != "rook":
            continue
        rival = theirs[r["op"], r["case"], r["batch"], r["type"]]
        rows.append([r["op"], r["case"], r["batch"], r["type"], f"{r['ms_median']:.3f}", f"{rival['ms_median']:.3f}",
                     f"{r['over_torch']:.2f} ({r['over_torch_min']:.2f}-{r['over_torch_max']:.2f})"])
    return markdown_table(["operation", "case", "batch", "type", "rook ms", "torch ms", "rook over torch (rounds)"], rows)


def caption(result):
    versions = ", ".join(f"{name} {version.removeprefix(name).strip()}" for name, version in result["versions"].items())
    print(f"\n{result['device']}, {result['threads']} threads; {versions}; commit {result['commit']}; {result['date']}")


# ---- measuring in turn ----------------------------------------------------------------------------------------------


def timing(seconds, images):
    """Summary of the times of single runs, each over `images` photos: as `rook bench` reports them."""
    ordered = sorted(s * 1e3 for s in seconds)
    median = statistics.median(ordered)
    return {"ms_median": median, "ms_min": ordered[0], "ms_max": ordered[-1], "images_per_s": images * 1e3 / median,
            "peak_mb": peak_megabytes()}


FIGURES = ("ms_median", "ms_min", "ms_max", "images_per_s", "peak_mb")


ROUNDS = 5
UNSTEADY = 1.15  # the slowest round's median over the fastest's: above it, something else was running
BUSY_PERCENT = 5  # of all cores, taken by other programs: what is said


class OtherLoad:
    """How much of the cores other programs took, from its making to percent(): of all time that was not idle, what was
    neither this process's nor that of children that have ended. None where Linux does not say."""

    def __init__(self):
        self.start = self.now()

    @staticmethod
    def now():
        try:
            line = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        except OSError:
            return None
        user, nice, system, idle, wait, irq, soft, stolen = map(int, line)
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        ticks = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + irq + soft + stolen
        return busy / ticks, (busy + idle + wait) / ticks, own

    def percent(self):
        end = self.now()
        if not self.start or not end or end[1] <= self.start[1]:
            return None
        busy, whole, own = (b - a for a, b in zip(self.start, end))
        return round(max(0.0, 100 * (busy - own) / whole), 1)


def unsteady(measured):
    """Names of the contestants whose rounds differ by more than noise."""
    medians = {name: [f["ms_median"] for f in rounds] for name, rounds in measured.items()}
    return [name for name, ms in medians.items() if max(ms) > UNSTEADY * min(ms)]


def warnings(result):
    """What a reader must know of a result before believing it; empty on a quiet machine."""
    said = []
    if names := unsteady(result.get("measured", {})):
        said.append(f"rounds differ by more than {100 * (UNSTEADY - 1):.0f} %: {', '.join(names)}")
    if (load := result.get("other_load_percent")) is not None and load > BUSY_PERCENT:
        said.append(f"other programs took {load:.0f} % of the cores meanwhile")
    return said


def in_turn(contestants, rounds):
    """Measures every contestant once per round, one after the other. What a result file keeps of it: "measured" {name:
    [figures of round 1, 2, ...]}, "left_out" {name: why}, "rounds", "other_load_percent".

    `contestants` maps a name to a function that measures once. One that fails in the first round is left out with a
    word; a failure later is an error.
    """
    measured, left_out, load = {name: [] for name in contestants}, {}, OtherLoad()
    for number in range(rounds):
        for name, measure in contestants.items():
            if name in left_out:
                continue
            try:
                figures = measure()
            except RuntimeError as error:
                if number > 0 or name.startswith("rook"):
                    raise
                left_out[name] = str(error).splitlines()[-1]
                say(f"{name}: left out: {left_out[name]}")
                continue
            measured[name].append({key: round(figures[key], 3) for key in FIGURES})
            say(f"round {number + 1}/{rounds}  {name:<42} {figures['ms_median']:9.2f} ms "
                f"(min {figures['ms_min']:.2f}, max {figures['ms_max']:.2f})  {figures['images_per_s']:7.1f} photos/s")
    result = {"rounds": rounds, "measured": {name: figures for name, figures in measured.items() if figures}, "left_out": left_out,
              "other_load_percent": load.percent()}
    for text in warnings(result):
        say(f"not a quiet machine: {text}")
    return result


def speed(figures):
    """Median over the rounds of the photos per second."""
    return statistics.median(f["images_per_s"] for f in figures)


def ratios(measured, ours, rivals):
    """Ours over the fastest of the rivals, round by round, and the median of that."""
    rivals = [name for name in rivals if name in measured]
    if not rivals:
        return None
    best = max(rivals, key=lambda name: speed(measured[name]))
    rounds = [a["images_per_s"] / b["images_per_s"] for a, b in zip(measured[ours], measured[best])]
    return {"ours": ours, "rival": best, "per_round": [round(r, 3) for r in rounds], "median": round(statistics.median(rounds), 3)}


def speed_rows(measured):
    """Rows of a table: name, photos/s and ms as medians of the rounds, the extremes over all rounds."""
    return [[name, f"{speed(f):.1f}", f"{statistics.median(x['ms_median'] for x in f):.2f}",
             f"{min(x['ms_min'] for x in f):.2f}", f"{max(x['ms_max'] for x in f):.2f}"] for name, f in measured.items()]


SPEED_HEADER = ["", "photos/s", "ms median", "min", "max"]


def ratio_lines(found):
    for r in found:
        if r:
            print(f"\n{r['ours']} over {r['rival']}: **{r['median']:.2f}x** (rounds: {', '.join(f'{x:.2f}' for x in r['per_round'])})")


# ---- from the start to the first boxes ---------------------------------------------------------------------------------


def seconds_from_start(measure, rounds=3):
    """Median wall time of whole processes, after one that does not count (it reads files into the cache)."""
    seconds = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        measure()
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds[1:]), 3)


def starts(cfg, weights, png, rivals):
    """{name: seconds from starting a program to the boxes of one photo}; `rivals`: functions that do it."""
    found = {"rook f32": seconds_from_start(lambda: run_program([rook_program(), "detect", "--model", f"{cfg}:{weights}", "--precision",
                                                                 "f32", "--quiet", png]))}
    for name, measure in rivals.items():
        found[name] = seconds_from_start(measure)
    for name, seconds in found.items():
        say(f"from the start to the first boxes: {name} {seconds:.2f} s")
    return found


def memory_rows(measured, started):
    """Rows of a table: name, peak memory in MB, seconds to the first boxes."""
    names = [*measured, *(name for name in started if name not in measured)]
    return [[n, f"{max(f['peak_mb'] for f in measured[n]):.0f}" if n in measured else "", f"{started[n]:.2f}" if n in started else ""]
            for n in names]


MEMORY_HEADER = ["", "peak memory, MB", "s from start to first boxes"]


def print_comparison(result, title):
    """Tables of a comparison whose contestants were measured in turn."""
    print_table(title, SPEED_HEADER, speed_rows(result["measured"]))
    ratio_lines(result["ratios"])
    if "start_s" in result:
        print_table("Memory and start", MEMORY_HEADER, memory_rows(result["measured"], result["start_s"]))
    for text in warnings(result):
        print(f"\n**Not a quiet machine:** {text}")
    caption(result)


def print_inference(result):
    print_comparison(result, f"Inference, {result['arch']} at {result['size']}, one photo")


# ---- command line ---------------------------------------------------------------------------------------------------


def arguments(description, steps):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured, in turn")
    parser.add_argument("--steps", type=int, default=steps, help="timed runs per measurement, after two that do not count")
    return parser
