"""What the comparisons share: calling rook and workers, pictures, facts about the machine, results and tables.

Standard library and numpy only.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import struct
import subprocess
import sys
import time
import zlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


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


def environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": str(threads()), **more}


def run_program(command, env=None):
    """Standard output of a command; its own words when it fails."""
    done = subprocess.run([str(c) for c in command], env=env or environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def rook_json(*arguments, **env):
    """What a rook command reports with `--json -`."""
    return json.loads(run_program([rook_program(), *arguments, "--json", "-"], environment(**env)))


def rook_bench(what, *arguments, **env):
    """Figures of one batch size of `rook bench net` or `train`, with what its report says of where it was measured."""
    report = rook_json("bench", what, *arguments, **env)
    (row,) = report.pop("rows")
    return report | row


def worker(script, arguments, **env):
    """Runs `script worker ARGUMENTS` in a process of its own, so that its peak memory is its own; the JSON it prints."""
    program = pathlib.Path(script).resolve()
    return json.loads(run_program([sys.executable, program, "worker", *arguments], environment(**env)))


def peak_megabytes():
    """Largest resident memory of this process image so far. Not ru_maxrss: Linux lets a child inherit that of the
    process that started it."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


# ---- results --------------------------------------------------------------------------------------------------------


def cpu_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit():
    """The commit of the checkout, with "+changes" where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    if head.returncode != 0:
        return "unknown"
    status = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def heading(**versions):
    """What every result file starts with."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": cpu_name(),
        "threads": threads(),
        "commit": commit(),
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


def save(name, result):
    """bench/results/NAME-DATE.json; its name is also added to the list $ROOK_BENCH_LIST, of which the report is made."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = result["date"].replace("-", "").replace(":", "")
    file = RESULTS / f"{name}-{stamp}.json"
    file.write_text(dumps(result))
    say(f"written: {file.relative_to(ROOT)}")
    if listed := os.environ.get("ROOK_BENCH_LIST"):
        with open(listed, "a") as out:
            out.write(f"{file}\n")
    return file


def print_table(title, header, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    sys.stdout.flush()


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


def in_turn(contestants, rounds):
    """Measures every contestant once per round, one after the other: {name: [figures of round 1, 2, ...]}.

    `contestants` maps a name to a function that measures once. One that fails in the first round is left out with a
    word; a failure later is an error.
    """
    measured = {name: [] for name in contestants}
    for number in range(rounds):
        for name, measure in contestants.items():
            if measured[name] is None:
                continue
            try:
                figures = measure()
            except RuntimeError as error:
                if number > 0 or name.startswith("rook"):
                    raise
                say(f"{name}: left out: {str(error).splitlines()[-1]}")
                measured[name] = None
                continue
            measured[name].append({key: round(figures[key], 3) for key in FIGURES})
            say(f"round {number + 1}/{rounds}  {name:<42} {figures['ms_median']:9.2f} ms "
                f"(min {figures['ms_min']:.2f}, max {figures['ms_max']:.2f})  {figures['images_per_s']:7.1f} photos/s")
    return {name: figures for name, figures in measured.items() if figures is not None}


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
    """Rows of a table: name, photos/s, median ms of the rounds, extremes over all rounds."""
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


def print_inference(result):
    """Tables of a comparison of inference."""
    print_table(f"Inference, {result['arch']} at {result['size']}, one photo", SPEED_HEADER, speed_rows(result["measured"]))
    ratio_lines(result["ratios"])
    print_table("Memory and start", MEMORY_HEADER, memory_rows(result["measured"], result["start_s"]))
    caption(result)


# ---- pictures -------------------------------------------------------------------------------------------------------


def picture(size, seed=1):
    """[size, size, 3] u8: smooth colours, rectangles and a little noise, so that a network finds something to answer."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    image = np.empty((size, size, 3))
    for channel in range(3):
        fx, fy, phase = random.uniform(1, 9), random.uniform(1, 9), random.uniform(0, 6.28)
        image[..., channel] = 128 + 90 * np.sin(6.28 * (fx * x + fy * y) + phase)
    for _ in range(40):
        left, top = random.integers(0, size, 2)
        width, height = random.integers(8, size // 3, 2)
        image[top:top + height, left:left + width] = random.uniform(0, 255, 3)
    image += random.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_png(file, pixels):
    """[height, width, 3] u8 RGB."""
    height, width, _ = pixels.shape

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[y].tobytes() for y in range(height))
    pathlib.Path(file).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                                   chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def gate_picture(folder, size):
    """The picture that contestants must agree about, as a PNG and as an array: their files."""
    image = picture(size)
    png, pixels = f"{folder}/picture.png", f"{folder}/picture.npy"
    write_png(png, image)
    np.save(pixels, image)
    return png, pixels


# ---- agreement ------------------------------------------------------------------------------------------------------

def rook_boxes(cfg, weights, png, conf):
    """[K, 6]: class, score, left, top, width, height in pixels. No suppression, and no resizing as the picture has the
    network's size."""
    found = rook_json("detect", "--model", f"{cfg}:{weights}", "--conf", repr(float(conf)), "--nms-threshold", "1", "--classes", "all",
                      "--resize", "align-corners", "--precision", "f32", "--quiet", png)[0]["detections"]
    return np.array([[d["class_id"], d["score"], *d["box"]] for d in found]).reshape(-1, 6)


def clipped(centre_boxes, size):
    """Relative centre boxes [K, 4] as left, top, width, height in pixels, cut at the edges as rook does."""
    low = np.clip((centre_boxes[:, :2] - centre_boxes[:, 2:] / 2) * size, 0, size)
    high = np.clip((centre_boxes[:, :2] + centre_boxes[:, 2:] / 2) * size, 0, size)
    return np.concatenate([low, high - low], axis=1)


def quiet_threshold(scores, low=1500, high=2500):
    """A confidence in the widest gap between the scores of rank `low` and `high`: rounding moves no box across it."""
    ranked = np.sort(scores.ravel())[::-1]
    window = ranked[min(low, len(ranked) // 4):min(high, len(ranked) // 2)]
    at = int(np.argmax(window[:-1] - window[1:]))
    return float((window[at] + window[at + 1]) / 2)


def compare(theirs, ours, score_tolerance, box_tolerance):
    """Finds for each of their boxes the nearest of ours of the same class. Returns the largest difference of the scores,
    and of the boxes over their larger side (at least 32 pixels). Dies when one has no partner within the tolerances."""
    worst_score = worst_box = 0.0
    for kind in np.unique(theirs[:, 0]):
        a, b = theirs[theirs[:, 0] == kind], ours[ours[:, 0] == kind]
        if len(b) == 0:
            die(f"outputs differ: rook finds no box of class {int(kind)}")
        size = np.maximum(a[:, None, 4:6].max(axis=2), 32)
        box = np.abs(a[:, None, 2:] - b[None, :, 2:]).max(axis=2) / size
        score = np.abs(a[:, None, 1] - b[None, :, 1])
        nearest = np.argmin(np.maximum(score / score_tolerance, box / box_tolerance), axis=1)
        if len(np.unique(nearest)) != len(a):
            die(f"outputs differ: boxes of class {int(kind)} share a partner")
        rows = np.arange(len(a))
        worst_score = max(worst_score, float(score[rows, nearest].max()))
        worst_box = max(worst_box, float(box[rows, nearest].max()))
    if not (worst_score <= score_tolerance and worst_box <= box_tolerance):
        die(f"outputs differ: score by up to {worst_score:.2e}, box by up to {worst_box:.2e} of its size")
    return {"boxes": len(theirs), "score_difference": worst_score, "box_difference": worst_box}


def arguments(description, steps):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    parser.add_argument("--steps", type=int, default=steps, help="timed runs per measurement, after two that do not count")
    return parser
