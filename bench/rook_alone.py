#!/usr/bin/env python3
"""What rook measures of itself, for the report: operations, networks by batch size, training by part.

    rook_alone.py ops [--filter TEXT] [--seconds 0.3] [--batch 1,8,64]
    rook_alone.py net     both networks, f32 and bf16, batch 1, 8 and 64, and the start
    rook_alone.py train   training steps of yolov4-tiny by part

Results go to bench/results with device, versions and commit. The program of rook is $ROOK; --device cuda measures a GPU.
"""

import argparse

import common

NETWORKS = ("yolov4-tiny", "yolo-fastest-1.1-xl")


def ops(options):
    flags = ["ops", "--device", options.device, "--seconds", str(options.seconds), "--batch", options.batch,
             "--arch", ",".join(options.arch)]
    flags += ["--filter", options.filter] if options.filter else []
    return common.rook_json("bench", *flags)


def rows_of(report, *keys):
    """The rows of a report of one network, each with what the whole report says."""
    return [{key: report[key] for key in keys} | row for row in report["rows"]]


def net(options):
    rows, starts = [], {}
    for network in options.arch:
        for precision in common.precisions(options.device):
            for batch in options.batch.split(","):  # a process each: peak memory is that of its own batch size
                flags = ["net", "--device", options.device, "--arch", network, "--precision", precision, "--batch", batch]
                flags += ["--repetitions", str(options.steps), "--starts", "5" if batch == "1" else "0"]
                report = common.rook_json("bench", *flags)
                rows += rows_of(report, "network", "precision")
                if "start" in report:
                    starts[f"{network} {precision}"] = report["start"]
                common.say(f"{network} {precision} batch {batch}: {rows[-1]['images_per_s']:.1f} photos/s")
    return {"bench": "net", "rows": rows, "starts": starts}


def train(options):
    rows = []
    for precision in common.precisions(options.device):
        report = common.rook_json("bench", "train", "--device", options.device, "--arch", "yolov4-tiny", "--classes", "12", "--batch", "8",
                                  "--precision", precision, "--repetitions", str(options.steps), "--parts")
        rows += rows_of(report, "network", "precision")
        common.say(f"training {precision}: {rows[-1]['images_per_s']:.1f} photos/s")
    return {"bench": "train", "rows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["ops", "net", "train"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--filter", default="", help="ops: only cases whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.3, help="ops: time for one row")
    parser.add_argument("--batch", default="1,8,64")
    parser.add_argument("--steps", type=int, default=10, help="net, train: timed runs")
    parser.add_argument("--arch", default=",".join(NETWORKS), type=lambda text: text.split(","), help="networks, a list")
    options = parser.parse_args()
    heading = common.heading()
    result = {"ops": ops, "net": net, "train": train}[options.what](options)
    if options.what == "ops":
        heading["device"] = result["device"]
    common.save(f"rook-{options.what}", result | heading)


if __name__ == "__main__":
    common.one_line_errors(main)
