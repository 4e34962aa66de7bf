#!/usr/bin/env python3
"""rook beside darknet itself on the CPU (Debian's package `darknet`): one photo, forward.

Debian's darknet is of 2018, and runs on one core: it knows yolov3-tiny, but not the layers of yolov4-tiny. Before
anything is timed, the boxes it finds on a picture must be rook's: as many of each class, with the same percentages.
Both times are those of the network alone, as darknet prints them, on one core each; rook on all cores stands beside.
bench/README.md says what is compared with what. The program of rook is $ROOK, darknet's $DARKNET.
"""

import os
import re
import shutil
import subprocess
import tempfile

import agree
import common
import darknet

ARCH = "yolov3-tiny"
WARM_UP = 2
LEAST_BOXES = 20


def program():
    found = shutil.which(os.environ.get("DARKNET", "darknet")) or shutil.which("/usr/bin/darknet")
    if not found:
        common.die("darknet is not installed (apt-get install darknet)")
    return found


def detect(folder, cfg, weights, png, threshold, runs):
    """Seconds of each run, and [(class, percent)] of the last."""
    command = [program(), "detector", "test", f"{folder}/names.data", str(cfg), str(weights), "-thresh", repr(threshold),
               "-out", f"{folder}/drawn"]  # without it, a window is opened
    done = subprocess.run(command, cwd=folder, input=f"{png}\n" * runs, capture_output=True, text=True, env=common.environment(), timeout=600)
    parts = re.split(r"Predicted in ([\d.]+) seconds\.", done.stdout)
    if len(parts) != 2 * runs + 1:
        raise RuntimeError(f"darknet: {len(parts) // 2} of {runs} runs ended\n{done.stderr.strip()}")
    # In one box darknet writes the classes above the threshold one by one.
    return [float(s) for s in parts[1::2]], sorted((int(c), int(p)) for c, p in re.findall(r"c(\d+): (\d+)%", parts[-1]))


def gate(folder, cfg, weights, png):
    """darknet rounds to whole percents: counts must be equal, and percentages within one."""
    scores = agree.rook_boxes(cfg, weights, png, 0.001)[:, 1]
    threshold = agree.quiet_threshold(scores, 200, 400)
    flags = ["--model", f"{cfg}:{weights}", "--conf", repr(threshold), "--nms", "plain", "--nms-threshold", "0.45", "--classes", "all",
             "--resize", "align-corners", "--precision", "f32", "--quiet", png]
    ours = sorted((d["class_id"], 100 * d["score"]) for d in common.rook_json("detect", *flags)[0]["detections"])
    _, theirs = detect(folder, cfg, weights, png, threshold, 1)
    if len(ours) < LEAST_BOXES:
        common.die(f"only {len(ours)} boxes to compare")
    if [c for c, _ in ours] != [c for c, _ in theirs]:
        common.die(f"outputs differ: {len(ours)} boxes of rook, {len(theirs)} of darknet above {threshold}, or other classes")
    worst = max(abs(a - b) for (_, a), (_, b) in zip(ours, theirs))
    if not worst <= 0.51:
        common.die(f"outputs differ: a score by {worst:.2f} percent")
    return {"boxes": len(ours), "score_difference_percent": round(worst, 3)}


def main():
    parser = common.arguments(__doc__.splitlines()[0], steps=5)
    options = parser.parse_args()
    program()
    version = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "darknet"], capture_output=True, text=True).stdout
    result = common.heading(darknet=version or "unknown")
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, common.ROOT / "model" / "zoo" / f"{ARCH}.cfg")
        png, _ = agree.gate_picture(folder, size)
        for name, text in (("names.txt", "".join(f"c{i}\n" for i in range(80))), ("names.data", f"names={folder}/names.txt\n")):
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        os.symlink("/usr/share/darknet/data", f"{folder}/data")  # its font
        agreement = gate(folder, cfg, weights, png)
        common.say(f"agreement: {agreement}")

        def rook(**env):
            flags = ["net", "--arch", ARCH, "--precision", "f32", "--repetitions", str(options.steps * 4)]
            return lambda: common.rook_bench(*flags, **env)

        def theirs():
            seconds, _ = detect(folder, cfg, weights, png, 0.99, WARM_UP + options.steps)
            return common.timing(seconds[WARM_UP:], 1) | {"peak_mb": 0}

        contestants = {"rook f32, one thread": rook(OMP_NUM_THREADS="1"), "darknet f32": theirs, "rook f32": rook()}
        found = common.in_turn(contestants, options.rounds)
    ratios = [common.ratios(found["measured"], ours, ["darknet f32"]) for ours in ("rook f32, one thread", "rook f32")]
    result |= {"bench": "infer", "arch": ARCH, "size": size, "batch": 1, "steps": options.steps, "agreement": agreement, "ratios": ratios} | found
    common.save(f"darknet-infer-{ARCH}", result)
    common.print_comparison(result, f"Inference, {ARCH} at {size}, one photo, beside darknet")


if __name__ == "__main__":
    common.one_line_errors(main)
