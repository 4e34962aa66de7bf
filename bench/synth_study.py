#!/usr/bin/env python3
"""Do rendered chess photos help with real ones? Measures the weights trained on rendered photos alone on the real ones; then
trains on the 102 real photos from three starts: random weights, imported weights, and those trained on rendered photos.

    ROOK_ASSETS=/data bench/synth_study.py [FLAGS] [SEED...]

All starts take the same network, epochs and seeds, and are trained by AdamW. The weights trained on rendered photos are those that rook brings
along (`./run pretrain` makes them) or --rendered. Runs lie in --out; a run that is finished there is taken as it is. The data are
in $ROOK_ASSETS, the program of rook is $ROOK.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import common

MERGE = ["--merge", "bishop=black-bishop"]  # the class `bishop` has one box, a black one
STARTS = {"scratch": "random weights", "imported": "imported weights", "rendered": "trained on rendered photos"}
IMPORTED = {"yolov4-tiny": "yolov4-tiny-voc-rebuilt.conv.29", "yolo-fastest-1.1-xl": "yolo-fastest-1.1-xl-coco.weights"}
# Muon would hide most of what a start is worth: from random weights it comes as far in 16 epochs.
BY_ADAMW = ["--optimizer", "adamw", "--lr", "1e-3", "--warmup", "40", "--freeze", "0", "--eval-every", "3"]
SPLITS = ("valid", "test")
FIGURES = ("map50", "map50_95", "precision", "recall")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="*", default=[1, 2, 3], help="seeds of the trainings on real photos (default: 1 2 3)")
    parser.add_argument("--rendered", default="rendered", metavar="WEIGHTS",
                        help="run or checkpoint trained on rendered photos (default: rendered, what rook brings along)")
    parser.add_argument("--images", type=int, default=300, help="rendered photos that these are measured on too (default: 300)")
    parser.add_argument("--seed", type=int, default=2, help="of these photos (default: 2)")
    parser.add_argument("--arch", default="rook-small", help="network (default: rook-small)")
    parser.add_argument("--epochs", type=float, default=18, help="epochs on the 102 real photos (default: 18)")
    parser.add_argument("--starts", default=",".join(STARTS),
                        help=f"of {', '.join(STARTS)}, by commas (default: all; imported where there are such weights of the network)")
    parser.add_argument("--zero-shot", action="store_true", help="only how the real photos do without training on them")
    parser.add_argument("--out", type=pathlib.Path, default=common.ROOT / "runs" / "synth-study", help="folder of data and runs")
    options = parser.parse_args()
    options.starts = [] if options.zero_shot else options.starts.split(",")
    if not set(options.starts) <= set(STARTS):
        parser.error(f"--starts: of {', '.join(STARTS)}")
    if options.arch not in IMPORTED:
        options.starts = [start for start in options.starts if start != "imported"]
    options.assets = pathlib.Path(os.environ.get("ROOK_ASSETS", ""))
    if not (options.assets / "chess" / "train").is_dir():
        common.die("no chess photos: set ROOK_ASSETS to a folder with chess/ and weights/")
    return options


def rook(*arguments, log):
    """Runs rook; seconds that it took."""
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(log, "w") as stream:
        command = [str(a) for a in (common.rook_program(), *arguments)]
        status = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=common.environment()).returncode
    if status != 0:
        common.die(f"{log}: exit status {status}: {(log.read_text().strip().splitlines() or ['?'])[-1]}")
    return time.monotonic() - start


def train(run, *flags):
    """Minutes of a training into `run`, of this time or of the time that it was done."""
    done = run / "minutes.json"
    if not done.exists():
        if (run / "last.safetensors").exists():
            common.die(f"{run}: holds a run that did not finish; move it away, or name another folder with --out")
        common.say(f"{run.name}: log in {run}.log")
        done_in = rook("train", *flags, "--out", run, log=run.with_name(run.name + ".log")) / 60
        done.write_text(json.dumps(done_in) + "\n")
    return json.loads(done.read_text())


def scores(model, data, *flags):
    return {split: {key: report[key] for key in FIGURES}
            for split in SPLITS for report in [common.rook_json("eval", "--model", model, "--data", data, *flags, "--split", split)]}


def rendered_model(options):
    data = options.out / f"rendered-{options.images}-s{options.seed}"
    if not (data / "data.yaml").exists():
        common.say(f"rendering {options.images} photos")
        rook("synth", "chess", "--images", options.images, "--seed", options.seed, "--out", data, log=options.out / "render.log")
    made = common.rook_json("weights", "info", options.rendered)
    result = {"made_by": made["note"], "parameters": made["parameters"], "images": options.images, "seed": options.seed,
              "rendered": scores(options.rendered, data), "real": scores(options.rendered, options.assets / "chess", *MERGE)}
    common.say(f"on rendered photos alone: mAP50 {result['rendered']['test']['map50']:.4f} on rendered test, "
               f"{result['real']['valid']['map50']:.4f} on real valid, {result['real']['test']['map50']:.4f} on real test")
    return result


def on_real(start, seed, options):
    weights = {"scratch": "scratch", "imported": options.assets / "weights" / IMPORTED.get(options.arch, ""),
               "rendered": options.rendered}[start]
    run, chess = options.out / f"{options.arch}-from-{start}-s{seed}", options.assets / "chess"
    minutes = train(run, "--data", chess, *MERGE, "--train-list", chess / "splits" / "v1_train.txt", "--arch", options.arch,
                    "--from", weights, *BY_ADAMW, "--epochs", options.epochs, "--seed", seed)
    result = {"start": start, "seed": seed, "minutes": minutes, **scores(run, chess, *MERGE)}
    common.say(f"{run.name}: mAP50 {result['valid']['map50']:.4f} valid, {result['test']['map50']:.4f} test")
    return result


def print_result(result, options):
    def percent(values):
        text = f"{100 * statistics.median(values):.2f}"
        return text + (f" ({100 * min(values):.2f}-{100 * max(values):.2f})" if len(values) > 1 else "")

    def row(label, entries, key=lambda e: e):
        return [label, *(percent([key(e)[split][figure] for e in entries]) for figure in ("map50", "map50_95") for split in SPLITS)]

    header = ["", "valid mAP50", "test mAP50", "valid mAP50:95", "test mAP50:95"]
    rows = [row(f"rendered photos alone, on {what} photos", [result["model"]], lambda e, what=what: e[what]) for what in ("rendered", "real")]
    for start in options.starts:
        rows.append(row(f"102 real photos, {STARTS[start]}", [r for r in result["runs"] if r["start"] == start]))
    common.print_table(f"Rendered chess photos, {result['arch']}, {result['epochs']:g} epochs on real photos, seeds {', '.join(map(str, options.seeds))}: median (least-most)", header, rows)
    common.caption(result)


def main():
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    result = common.heading()
    result["arch"], result["epochs"] = options.arch, options.epochs
    result["model"] = rendered_model(options)
    result["runs"] = [on_real(start, seed, options) for seed in options.seeds for start in options.starts]
    common.save("synth-study", result)
    print_result(result, options)


if __name__ == "__main__":
    common.one_line_errors(main)
