#!/usr/bin/env python3
"""The reference experiment: a chess-piece detector from 102 photos.

    v1   yolov4-tiny at 416, the 102 photos of chess/splits/v1_train.txt, from imported weights
    v2   the same from random weights
    v3   v1's best, continued on all 202 training photos
    adamw  v2 by AdamW, 62 epochs: beside a v1 by AdamW (--v1-args) what imported weights are worth, without what Muon is worth
    small  v1 with our own network from our own weights, of rendered photos: rook-small from `rendered`
    fast v1 with another network: --fast-net yolo-fastest

Each is trained once per seed into runs/experiment/NAME-sSEED and evaluated on valid and test. The data are in
$ROOK_ASSETS, the program of rook is $ROOK. Flags for `rook train` go through --v1-args "..." and its like; --all-args
holds for every variant. v3 alone takes the v1 that lies in --out.
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import time

import nearest_photo

import common

GOAL = 0.985  # mAP50 on valid whose time is reported
EARLY = 10    # epochs after which transfer and scratch are compared
VARIANTS = ("v1", "v2", "v3", "adamw", "small", "fast")
MERGE = ["--merge", "bishop=black-bishop"]  # the class `bishop` has one box, a black one
FAST_NETS = {"yolo-fastest": ("yolo-fastest-1.1-xl", "yolo-fastest-1.1-xl-coco.weights")}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="*", default=[1, 2, 3], help="seeds (default: 1 2 3)")
    parser.add_argument("--variants", default="v1,v2,v3", help="which, by commas: v1, v2, v3, adamw, small (default: v1,v2,v3)")
    parser.add_argument("--fast-net", choices=sorted(FAST_NETS), help="adds the variant `fast`: v1 with this network")
    parser.add_argument("--out", default=str(common.ROOT / "runs" / "experiment"), help="folder of the runs")
    parser.add_argument("--reuse", action="store_true", help="take finished runs of --out as they are")
    for name in (*VARIANTS, "all"):
        whose = "every variant" if name == "all" else name
        parser.add_argument(f"--{name}-args", default="", metavar="FLAGS", help=f"flags for `rook train` of {whose}")
    options = parser.parse_args()
    wanted = {*filter(None, options.variants.split(",")), *(["fast"] if options.fast_net else [])}
    options.variants = [v for v in VARIANTS if v in wanted]
    if not wanted or not wanted <= set(VARIANTS) or ("fast" in wanted and not options.fast_net):
        parser.error("--variants: of v1, v2, v3, adamw, small; --fast-net adds `fast`")
    missing = [s for s in options.seeds if not (pathlib.Path(options.out) / f"v1-s{s}" / "best.safetensors").exists()]
    if "v3" in wanted and "v1" not in wanted and missing:
        parser.error(f"v3 continues v1, and {options.out} has no v1 of seed {missing[0]}: --variants v1,v3")
    options.assets = pathlib.Path(os.environ.get("ROOK_ASSETS", ""))
    if not (options.assets / "chess" / "train").is_dir():
        common.die("no chess photos: set ROOK_ASSETS to a folder with chess/ and weights/")
    return options


def flags_of(variant, seed, options):
    """What `rook train` is told for a variant."""
    weights, few = options.assets / "weights", ["--train-list", options.assets / "chess" / "splits" / "v1_train.txt"]
    own = {
        "v1": ["--arch", "yolov4-tiny", "--from", weights / "yolov4-tiny-voc-rebuilt.conv.29", *few],
        "v2": ["--arch", "yolov4-tiny", "--from", "scratch", *few],
        "adamw": ["--arch", "yolov4-tiny", "--from", "scratch", "--optimizer", "adamw", "--epochs", 62, *few],
        "small": ["--arch", "rook-small", "--from", "rendered", *few],
        "v3": ["--arch", "yolov4-tiny", "--from", pathlib.Path(options.out) / f"v1-s{seed}" / "best.safetensors"],
    }
    if options.fast_net:
        arch, file = FAST_NETS[options.fast_net]
        own["fast"] = ["--arch", arch, "--from", weights / file, *few]
    extra = shlex.split(options.all_args) + shlex.split(getattr(options, f"{variant}_args"))
    evaluations = ["--eval-every", EARLY / 4]  # so that there is one after EARLY epochs
    return ["--data", options.assets / "chess", *MERGE, "--seed", seed, *evaluations, *own[variant], *extra]


def published(flags, options):
    """Without the folders of this machine."""
    return [str(f).replace(str(options.assets), "$ROOK_ASSETS").replace(options.out, "runs/experiment") for f in flags]


def read_metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def epochs_of(metrics):
    """How many epochs were trained. Not every line has one: what a continued run forgot stands in its own at the end."""
    return max(line["epoch"] for line in metrics if "epoch" in line)


def early_map(evaluations):
    """mAP50 of the evaluation nearest to ten epochs, if there is one within half an epoch."""
    near = min(evaluations, key=lambda e: abs(e["epoch"] - EARLY), default=None)
    return near["map50"] if near and abs(near["epoch"] - EARLY) <= 0.5 else None


def train(variant, seed, options):
    """Figures of one run. Minutes count from the start of the process."""
    run = pathlib.Path(options.out) / f"{variant}-s{seed}"
    if options.reuse and (run / "experiment.json").exists():
        common.say(f"{variant}, seed {seed}: was there already")
        return json.loads((run / "experiment.json").read_text())
    if (run / "metrics.jsonl").exists():
        common.die(f"{run}: holds a run already; move it away, or name another folder with --out, or take it with --reuse")
    run.mkdir(parents=True, exist_ok=True)
    command = [common.rook_program(), "train", *flags_of(variant, seed, options), "--out", run]
    common.say(f"{variant}, seed {seed}: log in {run}/train.log")
    start = time.monotonic()
    with open(run / "train.log", "w") as log:
        status = subprocess.run([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT, env=common.environment()).returncode
    wall = time.monotonic() - start
    if status != 0:
        common.die(f"{variant}, seed {seed}: exit status {status}: {((run / 'train.log').read_text().strip().splitlines() or ['?'])[-1]}")
    metrics = read_metrics(run)
    evaluations = [line for line in metrics if line["type"] == "eval"]
    reached = [e["seconds"] for e in evaluations if e["map50"] >= GOAL]
    figures = {
        "variant": variant, "seed": seed, "commit": common.commit(), "flags": published(flags_of(variant, seed, options), options),
        "minutes": wall / 60, "minutes_to_goal": reached[0] / 60 if reached else None,
        "epochs": epochs_of(metrics), "map50_early": early_map(evaluations),
        "best_valid_map50_while_training": max((e["map50"] for e in evaluations), default=None),
    }
    for split in ("valid", "test"):
        report = common.rook_json("eval", "--model", str(run), "--data", str(options.assets / "chess"), *MERGE, "--split", split)
        figures[split] = {key: report[key] for key in ("map50", "map50_95", "darknet_map50", "precision", "recall", "f1", "per_class")}
    (run / "experiment.json").write_text(json.dumps(figures, indent=1) + "\n")
    common.say(f"{variant}, seed {seed}: {figures['minutes']:.2f} min, mAP50 {figures['valid']['map50']:.4f} valid, "
               f"{figures['test']['map50']:.4f} test")
    return figures


# ---- the table --------------------------------------------------------------------------------------------------------


def percent(value):
    return "-" if value is None else f"{100 * value:.2f}"


def row(label, runs):
    """Medians over the seeds, with the extremes where there are several."""

    def of(pick, show):
        values = [value for value in map(pick, runs) if value is not None]
        if not values:
            return "-"
        text = show(statistics.median(values))
        if len(values) > 1:
            text += f" ({show(min(values))}-{show(max(values))})"
        return text if len(values) == len(runs) else f"{text}, {len(values)} of {len(runs)} runs"

    def minutes(value):
        return f"{value:.1f}"

    return [label, of(lambda r: r["minutes"], minutes), of(lambda r: r["minutes_to_goal"], minutes),
            of(lambda r: r["map50_early"], percent),
            of(lambda r: r["valid"]["map50"], percent), of(lambda r: r["test"]["map50"], percent),
            of(lambda r: r["valid"]["map50_95"], percent), of(lambda r: r["test"]["map50_95"], percent)]


HEADER = ["", "minutes", f"minutes to {GOAL:.3f}", f"valid mAP50 at {EARLY} epochs", "valid mAP50", "test mAP50",
          "valid mAP50:95", "test mAP50:95"]


def print_result(result, options):
    labels = {"v1": "v1: 102 photos, imported weights", "v2": "v2: 102 photos, random weights",
              "v3": "v3: v1 continued on 202 photos", "adamw": "v2 by AdamW, 62 epochs",
              "small": "v1 with rook-small, from our own weights", "fast": f"v1 with {options.fast_net}"}
    rows = [row(labels[v], [r for r in result["runs"] if r["variant"] == v]) for v in options.variants]
    for name, scores in (result["nearest_photo"] or {}).items():
        rows.append([f"boxes of the nearest of {name} training photos", "", "", "", percent(scores["valid"]), percent(scores["test"]), "", ""])
    common.print_table(f"Chess pieces, seeds {', '.join(map(str, options.seeds))}: median (least-most)", HEADER, rows)
    print("\nMinutes from the start of the process; mAP with confidence floor 0.001; the checkpoint is the one best on valid.")
    common.caption(result)


def main():
    options = parse()
    result = common.heading()
    chess = options.assets / "chess"
    result["nearest_photo"] = nearest_photo.baselines(chess, dict(pair.split("=") for pair in MERGE[1::2]))
    if result["nearest_photo"] is None:
        common.say("nearest-photo baseline: skipped, python3-opencv is not installed")
    result["runs"] = [train(variant, seed, options) for seed in options.seeds for variant in options.variants]
    common.save("experiment", result)
    print_result(result, options)


if __name__ == "__main__":
    common.one_line_errors(main)
