#!/usr/bin/env python3
"""What docs/story.sh needs besides rook: lays out the photos, asks the API, counts, and makes the table. Standard library only."""

import argparse
import hashlib
import json
import math
import os
import pathlib
import statistics
import sys
import time
import urllib.request

LABELS = "_annotations.coco.json"
FIRST_PHOTOS = 102  # of the training photos: with validation and test photos these are the 189 of the beginning
RUNS = {"transfer": ("imported weights", "98.5 in about 1 h"), "scratch": ("random weights", "97.9 in about 2 h"),
        "continued": ("100 photos more, on from the first", "98.9")}
BEGIN, END = "<!-- story: begin -->", "<!-- story: end -->"


def fail(text):
    sys.exit(f"story: {text}")


def read(file):
    try:
        return json.loads(pathlib.Path(file).read_text())
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}")


def write_json(file, value):
    pathlib.Path(file).write_text(json.dumps(value, indent=1) + "\n")


# ---- photos ----------------------------------------------------------------------------------------------------------


def names_of(folder):
    return [image["file_name"] for image in read(folder / LABELS)["images"]]


def list_first(args):
    """The training photos of the beginning: those of a list where there is one, else chosen by a hash of their names."""
    chosen, names = args.source / "splits/v1_train.txt", names_of(args.source / "train")
    if chosen.is_file():
        names = chosen.read_text().split()
    else:
        names = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:FIRST_PHOTOS]
    args.out.write_text("".join(name + "\n" for name in names))


def future(args):
    """Photos without their labels."""
    args.photos.mkdir()
    for name in names_of(args.labelled):
        os.symlink((args.labelled / name).resolve(), args.photos / name)


# ---- boxes -----------------------------------------------------------------------------------------------------------


def iou(a, b):
    """Of two boxes [left, top, width, height]."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common) if common else 0


def by_photo(coco):
    names = {category["id"]: category["name"] for category in coco["categories"]}
    files = {image["id"]: pathlib.Path(image["file_name"]).name for image in coco["images"]}
    boxes = {file: [] for file in files.values()}
    for box in coco["annotations"]:
        boxes[files[box["image_id"]]].append((names[box["category_id"]], box["bbox"]))
    return boxes


def pairs(proposed, true):
    """How many of the true boxes have a proposal of their class with IoU 1/2 and more, each proposal used once."""
    left, found = list(proposed), 0
    for name, box in true:
        best = max((p for p in left if p[0] == name), key=lambda p: iou(p[1], box), default=None)
        if best and iou(best[1], box) >= 0.5:
            left.remove(best)
            found += 1
    return found


def proposals(args):
    """How much of the proposals a person has to correct."""
    files = sorted(args.folder.rglob("*.coco.json"))
    if len(files) != 1:
        fail(f"{args.folder}: holds {len(files)} files of labels (*.coco.json), not one")
    proposed, true = by_photo(read(files[0])), by_photo(read(args.truth / LABELS))
    if set(proposed) != set(true):
        fail(f"{files[0]}: is of other photos than {args.truth}: {sorted(set(proposed) ^ set(true))[:3]}")
    result = {"photos": len(true), "proposed": sum(map(len, proposed.values())), "boxes": sum(map(len, true.values())),
              "right": sum(pairs(proposed[photo], true[photo]) for photo in true),
              "untouched": sum(len(proposed[photo]) == len(true[photo]) == pairs(proposed[photo], true[photo]) for photo in true)}
    write_json(args.json, result)
    print("{photos} photos: {proposed} boxes proposed; {right} of the {boxes} boxes need no correction; {untouched} photos are right as they are".format(**result))


# ---- the API ---------------------------------------------------------------------------------------------------------


def address(pid, log):
    """Where the server listens, as soon as it does."""
    for _ in range(600):
        for word in log.read_text().split():
            if word.startswith("http://127.0.0.1:"):
                return word
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            fail(f"rook serve has ended: {log.read_text().strip()}")
        time.sleep(0.1)
    fail(f"rook serve does not say where it listens: {log}")


def same(a, b):
    """The same boxes, to within rounding: another batch may be computed by another convolution."""
    return len(a) == len(b) and all(x["class"] == y["class"] and abs(x["score"] - y["score"]) < 1e-3 and
                                    max(abs(p - q) for p, q in zip(x["box"], y["box"])) < 0.5 for x, y in zip(a, b))


def ask(args):
    """Sends every photo; the answers have to be those of `rook detect`."""
    where = address(args.pid, args.log) + "detect"
    expected = {pathlib.Path(entry["image"]).name: entry["detections"] for entry in read(args.expected)}
    photos = sorted(file for file in args.photos.iterdir() if file.name in expected)
    if not photos or len(photos) != len(expected):
        fail(f"{args.photos}: {len(photos)} photos, {args.expected} is of {len(expected)}")
    times = []
    for photo in [photos[0], *photos]:  # the first once more: not timed
        begin = time.perf_counter()
        with urllib.request.urlopen(where, data=photo.read_bytes(), timeout=60) as reply:
            answer = json.load(reply)
        times.append(1e3 * (time.perf_counter() - begin))
        if not same(answer[0]["detections"], expected[photo.name]):
            fail(f"{photo}: {where} and rook detect disagree")
    times = sorted(times[1:])
    result = {"photos": len(photos), "ms_median": statistics.median(times), "ms_max": times[-1]}
    write_json(args.json, result)
    print(f"POST {where}: {len(photos)} photos one after another, {result['ms_median']:.0f} ms each (at most {times[-1]:.0f}), answers as of rook detect")


# ---- the table -------------------------------------------------------------------------------------------------------


def losses(run):
    """Of the first and of the last iterations of a training, mean of five."""
    lines = map(json.loads, pathlib.Path(f"runs/{run}/metrics.jsonl").read_text().splitlines())
    values = [line["loss"] for line in lines if line["type"] == "train"]
    return statistics.mean(values[:5]), statistics.mean(values[-5:])


def check(args):
    """What has to be so, or the story is another one."""
    runs = {run["run"]: run for run in read("compare.json")["runs"]}
    if set(runs) != set(RUNS):
        fail(f"compare.json: is of {sorted(runs)}")
    least = 0 if args.small else 0.5
    for name, run in runs.items():
        values = [run["evaluation"]["map50"], run["evaluation"]["map50_95"], read(f"test-{name}.json")["map50"]]
        if not all(math.isfinite(value) and 0 <= value <= 1 for value in values) or values[0] < least:
            fail(f"{name}: mAP of {values}")
        data = read(f"runs/{name}/config.json")["data"]
        if not data.endswith("chess/v2" if name == "continued" else "chess/v1"):
            fail(f"{name}: was trained on {data}")
    (imported, _), (begin, end) = losses("transfer"), losses("scratch")
    if not end < begin:
        fail(f"scratch: the loss was {begin:.2f} and is {end:.2f}")
    if args.small and not imported < begin:  # all layers are imported here, the head too
        fail(f"imported weights do not help: the loss begins at {imported:.2f}, with random ones at {begin:.2f}")
    if not (read("bench.json")["rows"] and read("label.json")["photos"] and read("api.json")["photos"]):
        fail("bench.json, label.json or api.json is empty")


def against_first(run):
    difference = run["against_first"]
    if run["run"] == "transfer":
        return ""
    text = "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * difference[key] for key in ("map50", "low", "high")))
    return text + (", noise" if difference["noise"] else "")


def table(args):
    runs = {run["run"]: run for run in read("compare.json")["runs"]}
    bench, api, label = read("bench.json"), read("api.json"), read("label.json")
    what = "Rendered photos and a small network: that the steps work, not how well." if args.small else "Photos of one board, one seed."
    print(f"{what} Measured on {bench['device']}, {bench['threads']} threads, {bench['date'][:10]}.\n")
    print("| | the video, mAP50 | mAP50 | mAP50:95 | mAP50 on test | minutes | mAP50 against the first (95 %) |")
    print("|---|---|---|---|---|---|---|")
    for name, (text, video) in RUNS.items():
        run = runs[name]
        reached = run["reached"].get("0.985")
        minutes = f"{run['training']['minutes']:.1f}" + (f"; 98.5 after {reached['minutes']:.1f}" if reached else "")
        print(f"| `{name}`: {text} | {'' if args.small else video} | {100 * run['evaluation']['map50']:.2f} | {100 * run['evaluation']['map50_95']:.2f} | "
              f"{100 * read(f'test-{name}.json')['map50']:.2f} | {minutes} | {against_first(run)} |")
    rate = ", ".join(f"{row['images_per_s']:.0f} photos/s at batch {row['batch']}" for row in bench["rows"])
    print(f"\n- API: {api['photos']} photos one after another, {api['ms_median']:.0f} ms each (median), decoding included.")
    print(f"- Labels: of the {label['boxes']} boxes of {label['photos']} photos it never saw, {label['right']} are proposed rightly; "
          f"{label['untouched']} photos need no correction.")
    print(f"- Benchmark: {rate}.")


def write(args):
    page, text = args.page.read_text(), args.table.read_text().strip()
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        fail(f"{args.page}: has not one place between {BEGIN} and {END}")
    page = page[: page.index(BEGIN)] + f"{BEGIN}\n\n{text}\n\n" + page[page.index(END):]
    temporary = args.page.with_suffix(".new")
    temporary.write_text(page)
    temporary.replace(args.page)
    print(f"the table is in {args.page}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def add(function, **arguments):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        for name, kind in arguments.items():
            command.add_argument(name, type=kind)
        command.set_defaults(run=function)
        return command

    path = pathlib.Path
    add(list_first, source=path, out=path)
    add(future, labelled=path, photos=path)
    add(ask, pid=int, log=path, photos=path, expected=path, json=path)
    add(proposals, folder=path, truth=path, json=path)
    add(check).add_argument("--small", action="store_true")
    add(table).add_argument("--small", action="store_true")
    add(write, table=path, page=path)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
