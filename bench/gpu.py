#!/usr/bin/env python3
"""What bench/gpu.sh needs besides the shell: counting test cases, timing networks on the GPU, the table of results.

    gpu.py cases HIDDEN SHOWN       of two logs of doctest, without and with the GPU: how many cases ran on it, as JSON
    gpu.py some LOG                 fails when no case ran
    gpu.py model FOLDER NET PHOTO   random weights of one of our networks and a picture; prints NET.cfg:NET.weights
    gpu.py bench FILE               times networks and training steps into FILE, entry by entry
    gpu.py report FOLDER            of all that the steps left in FOLDER: bench/results/GPU-DATE.{json,md}
"""

import ctypes
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import agree
import common
import darknet

STEPS = ("build", "test", "sanitize", "diff", "train", "bench", "torch")
NETWORKS = ("yolov4-tiny", "yolo-fastest-1.1-xl")
BATCHES = (1, 8, 64)
PRECISIONS = {"net": ("bf16", "f16", "f32"), "train": ("bf16", "f32")}
CONVOLUTIONS = ("", "cudnn")  # as rook chooses; NVIDIA's where it can
REPETITIONS, SECONDS = 200, 6  # at most, of one entry

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


# ---- timing ---------------------------------------------------------------------------------------------------------


def figures_of(what, network, batch, precision, conv):
    """Median of as many runs as fit into SECONDS."""
    flags = [what, "--device", "cuda", "--arch", network, "--batch", str(batch), "--precision", precision]
    flags += ["--conv", conv] if conv else []
    flags += ["--classes", "12"] if what == "train" else []
    probe = common.rook_bench(*flags, "--repetitions", "3")
    runs = max(10, min(REPETITIONS, int(SECONDS * 1e3 / probe["ms_median"])))
    return common.rook_bench(*flags, "--repetitions", str(runs)) | {"repetitions": runs}


def flops_of(network):
    return common.rook_json("inspect", "--model", network, "--device", "cpu", "--runs", "1")["bflops"] * 1e9


def bench(file):
    """Every entry, also those that fail; an entry of a library that rook was built without is left out."""
    entries = []
    for what, networks in (("net", NETWORKS), ("train", NETWORKS[:1])):
        for network in networks:
            flops = flops_of(network) * (3 if what == "train" else 1)  # backward: as much again for data, and for weights
            for batch in BATCHES:
                for precision in PRECISIONS[what]:
                    for conv in CONVOLUTIONS:
                        entry = {"bench": what, "network": network, "batch": batch, "precision": precision, "conv": conv or "ours"}
                        try:
                            entry |= figures_of(what, network, batch, precision, conv)
                            entry["tflops"] = flops * entry["images_per_s"] / 1e12
                            common.say(f"{what} {network} batch {batch} {precision} {entry['conv']}: {entry['ms_median']:.3f} ms")
                        except RuntimeError as error:
                            last = str(error).splitlines()[-1]
                            if conv and f"{conv}" in last:
                                common.say(f"left out: {last}")
                                continue
                            entry["error"] = last
                            common.say(f"{what} {network} batch {batch} {precision}: {last}")
                        entries.append(entry)
                        pathlib.Path(file).write_text(json.dumps(entries, indent=1))
    failed = [e for e in entries if "error" in e]
    if failed:
        common.die(f"{len(failed)} of {len(entries)} entries failed; the first: {failed[0]['error']}")


# ---- the report -----------------------------------------------------------------------------------------------------


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def library_version(name, function):
    """Version of a library that rook is linked with: what `function` of it returns, as text."""
    for line in output_of("ldd", common.rook_program()).splitlines():
        if f"{name}.so" in line and "=>" in line:
            version = getattr(ctypes.CDLL(line.split("=>")[1].split("(")[0].strip()), function)
            version.restype = ctypes.c_size_t
            number = version()
            # 130002 of cuBLAS is 13.0.2, 91300 of cuDNN 9 is 9.13.0
            major, rest = divmod(number, 10000)
            return f"{major}.{rest // 100}.{rest % 100}"
    return "not linked"


def device():
    names = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "compute_cap")
    row = output_of("nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader").splitlines()
    facts = dict(zip(names, map(str.strip, row[0].split(",")))) if row else {"name": "no GPU"}
    release = re.search(r"release [\d.]+, V([\d.]+)", output_of("nvcc", "--version"))
    facts["cuda"] = release[1] if release else "unknown"
    facts["cudnn"] = library_version("libcudnn", "cudnnGetVersion")
    facts["cublas"] = library_version("libcublasLt", "cublasLtGetVersion")
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
    return json.loads(file.read_text()) if file.exists() else None


def gather(folder):
    heading = common.heading()
    steps = [dict(zip(("step", "outcome", "seconds", "note"), line.split("\t")))
             for line in (folder / "steps.tsv").read_text().splitlines()]
    steps.sort(key=lambda s: STEPS.index(s["step"]))
    log = folder / "train.log"
    return heading | {
        "commit": commit(), "host": heading["device"], "device": device(), "steps": steps, "cases": read_json(folder / "cases.json"),
        "differences": [difference(f) for f in sorted(folder.glob("diff-*.json"))],
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
    if result["cases"]:
        print("\nKernel tests: {on_gpu} cases ran on the GPU; of all cases {passed} passed, {failed} failed.".format(**result["cases"]))
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
        for log in folder.glob("test.log"):
            shutil.copy(log, out)
        with tarfile.open(pathlib.Path(out) / "logs.tar.gz", "w:gz") as logs:
            for log in (*folder.glob("*.log"), *folder.glob("*.json")):
                logs.add(log, log.name)


def main():
    match sys.argv[1:]:
        case ["cases", hidden, shown]:
            print(json.dumps(cases(pathlib.Path(hidden).read_text(errors="replace"), pathlib.Path(shown).read_text(errors="replace"))))
        case ["some", log]:
            some(pathlib.Path(log).read_text(errors="replace"))
        case ["model", folder, network, photo]:
            cfg, weights, size = darknet.prepare(folder, common.ROOT / "model" / "zoo" / f"{network}.cfg")
            agree.write_png(photo, agree.picture(size))
            print(f"{cfg}:{weights}")
        case ["bench", file]:
            bench(file)
        case ["report", folder]:
            report(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    common.one_line_errors(main)
