#!/usr/bin/env python3
"""What bench/gpu.sh needs besides the shell: counting test cases, timing networks on the GPU, the table of results.

    gpu.py cases HIDDEN SHOWN       of two logs of doctest, without and with the GPU: how many cases ran on it, as JSON
    gpu.py some LOG                 fails when no case ran
    gpu.py spoilt LOG               says whether an error or a crash spoilt the cases after it; fails when none did
    gpu.py groups EXCLUDED          groups of the kernel tests, each a line: name, and what to select and to exclude
    gpu.py model FOLDER NET PHOTO   random weights of one of our networks and a picture; prints NET.cfg:NET.weights
    gpu.py bench FILE SECONDS       times networks and training steps into FILE; begins nothing after SECONDS
    gpu.py device                   the GPU, its driver and the libraries, as JSON
    gpu.py report FOLDER            of all that the steps left in FOLDER: bench/results/GPU-DATE.{json,md}
"""

import functools
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import agree
import common
import darknet

STEPS = ("build", "test", "groups", "libraries", "model", "sanitize", "diff", "train", "bench", "torch")
TESTS = ("test", "libraries", "model")  # the steps that leave a count of cases

# The kernel tests by what they test; what fits none is a group as well.
GROUPS = {
    "conv": "*conv*",
    "batchnorm": "*batchnorm*",
    "activation": "cuda activation*,bias_activation*",
    "dropout": "cuda dropout*",
    "layers": "cuda copy_channels*,cuda fill*,cuda shortcut*,cuda scale_channels*,cuda sam:*,cuda softmax*,cuda normalize*",
    "spatial": "cuda *pool*,cuda upsample*,cuda reorg*",
    "pictures": "cuda resize*,cuda augment*",
    "optimizer": "*_update:*,cuda optimizer*,cuda gradient_norm*,cuda advance_step*,cuda limit_gradient*",
    "decode": "head_decode*",
    "nms": "nms*",
    "loss": "yolo_loss*,region*",
}

# What is timed, the most telling first: (bench, network, precision, convolutions), each a process that goes through its
# batches. NVIDIA's convolutions come last: their plans take time.
NETWORKS = ("yolov4-tiny", "yolo-fastest-1.1-xl")
BATCHES = {"train": (64, 8, 1), "net": (1, 8, 64)}
ENTRIES = (
    ("train", NETWORKS[0], "bf16", "ours"),
    *(("net", network, "bf16", "ours") for network in NETWORKS),
    ("train", NETWORKS[0], "f32", "ours"),
    *(("net", network, precision, "ours") for precision in ("f16", "f32") for network in NETWORKS),
    ("train", NETWORKS[0], "bf16", "cudnn"),
    *(("net", network, "bf16", "cudnn") for network in NETWORKS),
)
REPETITIONS, SECONDS = 200, 3  # at most, of one batch size
PATIENCE = 60  # seconds that a process may take

# ---- tests ----------------------------------------------------------------------------------------------------------


def counts(log):
    """(passed, failed) of doctest's last summary; None where there is none, as after a crash."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log)
    found = re.findall(r"test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed", text)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def cases(hidden, shown):
    """Cases that fail when the GPU is hidden are those that run on it."""
    before, after = counts(hidden), counts(shown)
    if before is None or after is None:
        common.die("the tests did not come to their end")
    need, (passed, failed) = before[1], after
    if need == 0:
        common.die("no case ran on the GPU")
    if failed == 0 and passed < need:
        common.die(f"{need} cases need the GPU, but {passed} ran")
    return {"on_gpu": need, "passed": passed, "failed": failed}


def some(log):
    found = counts(log)
    if not found or found[0] == 0:
        common.die("no test case ran")
    if found[1]:
        common.die(f"{found[1]} test cases failed")


# What CUDA says of errors after which no call of the process succeeds.
STICKY = re.compile(r"illegal memory access|misaligned address|unspecified launch failure|illegal instruction|invalid program counter|"
                    r"hardware stack error|global/shared address space|launch timed out|device-side assert|uncorrectable")


def spoilt(log):
    """Whether something spoilt the cases after it, and what."""
    if found := STICKY.search(log):
        return True, f"after \"{found[0]}\" nothing more succeeds in the process"
    if counts(log) is None:
        return True, "the tests did not come to their end"
    return False, "no error spoilt the tests after it"


def groups(excluded):
    """(name, cases, cases left out), in doctest's patterns."""
    named = [(name, pattern, excluded) for name, pattern in GROUPS.items()]
    return [*named, ("others", "*", ",".join([excluded, *GROUPS.values()]))]


# ---- timing ---------------------------------------------------------------------------------------------------------


@functools.cache
def flops_of(network):
    """Of one photo's inference; None when rook does not say."""
    try:
        return common.rook_json("inspect", "--model", network, "--device", "cpu", "--runs", "1")["bflops"] * 1e9
    except RuntimeError as error:
        common.say(f"no TFLOP/s of {network}: {str(error).splitlines()[-1]}")
        return None


def command_of(what, network, precision, conv, batches):
    """`rook bench`, all batches in one process."""
    flags = ["bench", what, "--device", "cuda", "--arch", network, "--precision", precision, "--batch", ",".join(map(str, batches)),
             "--repetitions", str(REPETITIONS), "--seconds", str(SECONDS), "--conv", conv, "--json", "-"]
    return [common.rook_program(), *flags, *(["--classes", "12"] if what == "train" else [])]


def measured(what, network, precision, conv, batches, end):
    """An entry for each batch size. Where all in one process fail, each has its own, as long as there is time."""
    about = {"bench": what, "network": network, "precision": precision, "conv": conv}
    seconds = max(1.0, min(PATIENCE, end - time.monotonic()))
    try:
        rows = json.loads(common.run_program(command_of(what, network, precision, conv, batches), seconds=seconds))["rows"]
    except RuntimeError as error:
        if len(batches) == 1 or is_missing(str(error), conv) or time.monotonic() >= end:
            return [about | {"batch": batch, "error": str(error).splitlines()[-1]} for batch in batches]
        return [entry for batch in batches for entry in measured(what, network, precision, conv, (batch,), end)]
    entries = [about | row for row in rows]
    if flops := flops_of(network):
        for entry in entries:  # backward: as much again for data, and for weights
            entry["tflops"] = flops * (3 if what == "train" else 1) * entry["images_per_s"] / 1e12
    return entries


def is_missing(error, conv):
    """Whether the library is not there (rook then says so of the flag), in contrast to a run of it that failed."""
    return f"--conv {conv}:" in error.lower() and conv != "ours"


def bench(file, seconds):
    """Every entry, also those that fail; an entry of a library that rook cannot use is left out."""
    begin = time.monotonic()
    end, entries = begin + seconds, []
    for number, (what, network, precision, conv) in enumerate(ENTRIES):
        if time.monotonic() >= end:
            common.say(f"gpu: note: no time was left for {len(ENTRIES) - number} of {len(ENTRIES)} processes")
            break
        for entry in measured(what, network, precision, conv, BATCHES[what], end):
            title = f"{what} {network} batch {entry['batch']} {precision} {conv}"
            if is_missing(entry.get("error", ""), conv):
                common.say(f"left out: {title}: {entry['error']}")
                continue
            common.say(f"{title}: {entry.get('error') or '{:.3f} ms'.format(entry['ms_median'])}")
            entries.append(entry)
        common.put(file, json.dumps(entries, indent=1))
    failed = [e for e in entries if "error" in e]
    if failed:
        common.die(f"{len(failed)} of {len(entries)} entries failed; the first: {failed[0]['error']}")


# ---- the report -----------------------------------------------------------------------------------------------------


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def library_versions():
    """Of the libraries that rook loads when it needs them, as rook itself says: {"cuDNN": "9.13.0", ...}."""
    try:
        listed = common.rook_json("tune", "--arch", "rook-nano", "--device", "cuda", "--conv-cache", "none", "--list")
        return versions_in(listed["versions"])
    except (RuntimeError, SystemExit, OSError, ValueError, KeyError):  # no program, or one that cannot say
        return {}


def versions_in(text):
    """Of "rook 0.1.0, cuDNN 9.13.0, cuBLASLt missing, rows ..."."""
    return dict(part.split(" ", 1) for part in text.split(", ") if part.split(" ")[0] in ("cuDNN", "cuBLASLt") and " " in part)


def device():
    names = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "compute_cap")
    row = output_of("nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader").splitlines()
    facts = dict(zip(names, map(str.strip, row[0].split(",")))) if row else {"name": "no GPU"}
    release = re.search(r"release [\d.]+, V([\d.]+)", output_of("nvcc", "--version"))
    facts["cuda"] = release[1] if release else "unknown"
    versions = library_versions()
    facts["cudnn"], facts["cublas"] = (versions.get(name, "not there") for name in ("cuDNN", "cuBLASLt"))
    return facts


def commit():
    """Of the checkout; where there is none, of the bundle that came along."""
    found = common.commit()
    bundle = os.environ.get("ROOK_BUNDLE")
    if found == "unknown" and bundle:
        file = pathlib.Path(bundle) / "commit"
        found = f"{file.read_text().strip()} (of the bundle)" if file.exists() else found
    return found


def trained(log):
    """What `./run chess` printed of its training."""
    found = {}
    if m := re.search(r"finished after (\d+) iterations, ([\d.]+) s since start \(([\d.]+) photos/s", log):
        found |= {"iterations": int(m[1]), "seconds": float(m[2]), "photos_per_s": float(m[3])}
    if m := re.search(r"best mAP50 ([\d.]+), mAP50:95 ([\d.]+)", log):
        found |= {"map50": float(m[1]), "map50_95": float(m[2])}
    if "the same seed gave" in log:
        found["repeatable"] = "same weights twice" in log
    return found


def difference(file):
    data = json.loads(file.read_text())
    worst = max(data["values"], key=lambda v: v["relative"])
    return {"model": pathlib.Path(data["model"].split(":")[0]).stem, "kind": file.stem.rsplit("-", 1)[1], "a": data["a"],
            "b": data["b"], "nodes": len(data["values"]), "relative": worst["relative"], "node": worst["name"]}


def read_json(file):
    """None of a file that is missing, or half written when its step was stopped."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def differences(folder):
    found = []
    for file in sorted(folder.glob("diff-*.json")):
        if read_json(file):
            found.append(difference(file))
    return found


def tests(folder):
    """What each step of tests and each group counted."""
    found = [{"tests": step} | counted for step in TESTS if (counted := read_json(folder / f"cases-{step}.json"))]
    for log in sorted(folder.glob("group-*.log")):
        passed, failed = counts(log.read_text(errors="replace")) or ("", "crashed")
        found.append({"tests": log.stem.replace("-", " "), "on_gpu": "", "passed": passed, "failed": failed})
    return found


def lines_of(file):
    return file.read_text(errors="replace").splitlines() if file.exists() else []


def gather(folder):
    machine = common.machine()
    steps = [dict(zip(("step", "outcome", "seconds", "note"), line.split("\t"))) for line in lines_of(folder / "steps.tsv")]
    steps.sort(key=lambda s: STEPS.index(s["step"]) if s["step"] in STEPS else len(STEPS))
    log = folder / "train.log"
    return machine | {
        "commit": commit(), "host": machine["device"], "device": read_json(folder / "device.json") or device(), "steps": steps,
        "tests": tests(folder), "differences": differences(folder),
        "training": trained(log.read_text(errors="replace")) if log.exists() else None,
        "bench": read_json(folder / "bench.json"), "torch": read_json(folder / "torch.json"),
    }


def number(entry, key, digits):
    return f"{entry[key]:.{digits}f}" if key in entry else ""


def bench_rows(entries):
    return [[e["network"], e["batch"], e["precision"], e["conv"], number(e, "ms_median", 3), number(e, "ms_min", 3),
             number(e, "ms_max", 3), number(e, "images_per_s", 0), number(e, "tflops", 1), e.get("error", "")] for e in entries]


def print_torch(torch):
    if ceilings := torch.get("ceilings"):
        print(f"\nPyTorch's 8192 x 8192 x 8192 bf16 matrix product: {ceilings['bf16_tflops']:.0f} TFLOP/s; "
              f"a copy within the device: {ceilings['copy_gb_s']:.0f} GB/s read and written.")
    for part in torch["parts"]:
        common.print_table(part["title"], common.SPEED_HEADER, common.speed_rows(part["measured"]))
        common.ratio_lines(part["ratios"])


def print_report(result):
    d = result["device"]
    print(f"# {d['name']}, {result['date']}\n")
    print(f"commit {result['commit']}; driver {d.get('driver_version', 'none')}, CUDA {d['cuda']}, cuDNN {d['cudnn']}, "
          f"cuBLAS {d['cublas']}; {d.get('memory.total', '')}, power limit {d.get('power.limit', '')}, at most "
          f"{d.get('clocks.max.sm', '')}; host {result['host']}, {result['threads']} threads")
    common.print_table("Steps", ["step", "outcome", "s", ""],
                       [[s["step"], s["outcome"], s["seconds"], s.get("note", "")] for s in result["steps"]])
    if result["tests"]:
        common.print_table("Tests", ["", "cases on the GPU", "of all, passed", "failed"],
                           [[v["tests"], v["on_gpu"], v["passed"], v["failed"]] for v in result["tests"]])
    if result["differences"]:
        common.print_table("CPU beside GPU, the worst node", ["model", "", "nodes", "of the largest value", "node"],
                           [[v["model"], f"{v['a']} / {v['b']}, {v['kind']}", v["nodes"], f"{v['relative']:.2g}", v["node"]]
                            for v in result["differences"]])
    if t := result["training"]:
        same = {True: "yes", False: "no", None: "not tried"}[t.get("repeatable")]
        common.print_table("Chess pieces, yolov4-tiny from imported weights", ["s from start", "photos/s", "mAP50", "mAP50:95",
                           "same seed, same bits"], [[t.get(k, "") for k in ("seconds", "photos_per_s", "map50", "map50_95")] + [same]])
    for what, title in (("net", "Inference: input on the device to boxes in host memory"), ("train", "Whole training steps, 12 classes")):
        if rows := bench_rows([e for e in result["bench"] or [] if e["bench"] == what]):
            common.print_table(title, ["network", "batch", "", "convolutions", "ms median", "min", "max", "photos/s", "TFLOP/s", ""], rows)
    if result["torch"]:
        print_torch(result["torch"])


def markdown(result):
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        print_report(result)
        return sys.stdout.getvalue()
    finally:
        sys.stdout = before


def report(folder):
    result = gather(folder)
    name = re.sub(r"[^a-z0-9]+", "-", result["device"]["name"].lower()).strip("-")
    file = common.save(name, result)
    table = file.with_suffix(".md")
    table.write_text(markdown(result))
    print(table.read_text())
    if out := os.environ.get("OUT"):
        for made in (file, table):
            shutil.copy(made, out)


def main():
    match sys.argv[1:]:
        case ["cases", hidden, shown]:
            print(json.dumps(cases(pathlib.Path(hidden).read_text(errors="replace"), pathlib.Path(shown).read_text(errors="replace"))))
        case ["some", log]:
            some(pathlib.Path(log).read_text(errors="replace"))
        case ["spoilt", log]:
            file = pathlib.Path(log)
            is_spoilt, why = spoilt(file.read_text(errors="replace")) if file.exists() else (False, "the step `test` has not run")
            print(why)
            sys.exit(not is_spoilt)
        case ["groups", excluded]:
            for group in groups(excluded):
                print("\t".join(group))
        case ["device"]:
            print(json.dumps(device()))
        case ["model", folder, network, photo]:
            cfg, weights, size = darknet.prepare(folder, common.ROOT / "model" / "zoo" / f"{network}.cfg")
            agree.write_png(photo, agree.picture(size))
            print(f"{cfg}:{weights}")
        case ["bench", file, seconds]:
            bench(file, float(seconds))
        case ["report", folder]:
            report(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    common.one_line_errors(main)
