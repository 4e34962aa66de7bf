#!/usr/bin/env python3
"""rook beside OpenCV's dnn module on the CPU: one photo, forward and decoding.

Before anything is timed, every box OpenCV gives for a picture and random weights must be one of rook's. bench/README.md
says what is compared with what. The program of rook is $ROOK.
"""

import json
import sys
import tempfile
import time

import numpy as np

import agree
import common
import darknet

ZOO = common.ROOT / "model" / "zoo"
WARM_UP = 2
SCORE_TOLERANCE, BOX_TOLERANCE = 5e-4, 2e-3  # wider than PyTorch's: its kernels round differently
LEAST_BOXES = 100  # that the comparison of outputs must have


# ---- in the process of a measurement: the only code that needs cv2 ----------------------------------------------------


class Net:
    def __init__(self, cfg, weights):
        import cv2

        cv2.setNumThreads(common.threads())
        self.net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
        self.net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self.net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self.outputs = self.net.getUnconnectedOutLayersNames()

    def __call__(self, x):
        """[1, 3, H, W] in 0..1 -> [M, 5 + classes] of all heads: relative centre box, objectness, class scores."""
        self.net.setInput(x)
        return np.concatenate([y.reshape(-1, y.shape[-1]) for y in self.net.forward(self.outputs)])


def worker_infer(cfg, weights, steps):
    net, size = Net(cfg, weights), int(darknet.read_cfg(cfg)[0][1]["width"])
    x = np.random.default_rng(1).uniform(size=(1, 3, size, size)).astype("f4")
    seconds = []
    for number in range(WARM_UP + int(steps)):
        start = time.perf_counter()
        net(x)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return common.timing(seconds, 1)


def worker_gate(cfg, weights, png, pixels):
    """OpenCV suppresses boxes inside its heads, rook is asked not to: theirs must be a subset of ours."""
    image = np.load(pixels)
    rows = Net(cfg, weights)(np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype("f4") / 255))
    boxes, scores = rows[:, :4], rows[:, 5:]
    conf = agree.quiet_threshold(scores[scores > 0])
    which, kind = np.nonzero(scores > conf)
    theirs = np.column_stack([kind, scores[which, kind], agree.clipped(boxes[which], len(image))])
    if len(theirs) < LEAST_BOXES:
        common.die(f"only {len(theirs)} boxes of OpenCV to compare")
    return agree.compare(theirs, agree.rook_boxes(cfg, weights, png, conf), SCORE_TOLERANCE, BOX_TOLERANCE)


def worker_first(cfg, weights, pixels):
    """One photo from nothing, as a program would."""
    image = np.load(pixels)
    rows = Net(cfg, weights)(np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype("f4") / 255))
    return {"boxes": len(rows)}


def worker_version():
    import cv2

    return {"opencv": cv2.__version__}


# ---- in the process that asks -----------------------------------------------------------------------------------------


def ask(*arguments):
    return common.worker(__file__, arguments)


def main():
    workers = {"infer": worker_infer, "gate": worker_gate, "first": worker_first, "version": worker_version}
    if sys.argv[1:2] == ["worker"]:
        print(json.dumps(workers[sys.argv[2]](*sys.argv[3:])))
        return
    parser = common.arguments(__doc__.splitlines()[0], steps=30)
    parser.add_argument("--arch", default="yolov4-tiny", help="one of model/zoo")
    options = parser.parse_args()
    result = common.heading(**ask("version"))
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg")
        png, pixels = agree.gate_picture(folder, size)
        agreement = ask("gate", cfg, weights, png, pixels)
        common.say(f"agreement: {agreement}")
        steps = str(options.steps)

        def rook(precision):
            return lambda: common.rook_bench("net", "--arch", options.arch, "--batch", "1", "--precision", precision,
                                            "--repetitions", steps)

        contestants = {"OpenCV dnn f32": lambda: ask("infer", cfg, weights, steps)}
        contestants |= {f"rook {precision}": rook(precision) for precision in common.precisions()}
        found = common.in_turn(contestants, options.rounds)
        started = common.starts(cfg, weights, png, {"OpenCV dnn f32": lambda: ask("first", cfg, weights, pixels)})
    ratios = [common.ratios(found["measured"], f"rook {precision}", ["OpenCV dnn f32"]) for precision in common.precisions()]
    result |= {"bench": "infer", "arch": options.arch, "size": size, "batch": 1, "steps": options.steps, "agreement": agreement,
               "ratios": ratios, "start_s": started} | found
    common.save(f"opencv-infer-{options.arch}", result)
    common.print_inference(result)


if __name__ == "__main__":
    common.one_line_errors(main)
