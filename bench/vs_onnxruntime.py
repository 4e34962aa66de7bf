#!/usr/bin/env python3
"""rook beside onnxruntime on the CPU: one photo, forward.

The ONNX file is made from the same cfg and weights by bench/onnx_file.py. Before anything is timed, every box that
onnxruntime's outputs decode to for a picture and random weights must be one of rook's, and the other way round.
bench/README.md says what is compared with what. The program of rook is $ROOK.
"""

import json
import sys
import tempfile
import time

import numpy as np

import agree
import common
import darknet
import onnx_file

ZOO = common.ROOT / "model" / "zoo"
WARM_UP = 2
SCORE_TOLERANCE, BOX_TOLERANCE = 2e-5, 1e-4  # f32 sums in another order; a box over its size

# ---- in the process of a measurement: the only code that needs onnxruntime ----------------------------------------------


def session(file):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = common.threads(), 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def worker_infer(file, size, steps):
    """Without decoding, which rook's time includes."""
    net = session(file)
    x = np.random.default_rng(1).uniform(size=(1, 3, int(size), int(size))).astype("f4")
    seconds = []
    for number in range(WARM_UP + int(steps)):
        start = time.perf_counter()
        net.run(None, {"x": x})
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return common.timing(seconds, 1)


def first(file, pixels):
    image = np.load(pixels)
    return session(file).run(None, {"x": np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype("f4") / 255)}), image


def worker_first(file, cfg, pixels):
    """One photo from nothing, as a program would."""
    logits, image = first(file, pixels)
    return {"boxes": len(darknet.decode(logits, darknet.read_cfg(cfg), len(image))[0])}


def worker_gate(file, cfg, weights, png, pixels):
    logits, image = first(file, pixels)
    boxes, scores = darknet.decode(logits, darknet.read_cfg(cfg), len(image))
    conf = agree.quiet_threshold(scores)
    which, kind = np.nonzero(scores > conf)
    theirs = np.column_stack([kind, scores[which, kind], agree.clipped(boxes[which], len(image))])
    ours = agree.rook_boxes(cfg, weights, png, conf)
    if len(ours) != len(theirs):
        common.die(f"outputs differ: {len(ours)} boxes of rook, {len(theirs)} of onnxruntime above {conf}")
    return agree.compare(theirs, ours, SCORE_TOLERANCE, BOX_TOLERANCE)


def worker_version():
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__}


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
        file = f"{folder}/{options.arch}.onnx"
        onnx_file.write(file, cfg, weights)
        png, pixels = agree.gate_picture(folder, size)
        agreement = ask("gate", file, cfg, weights, png, pixels)
        common.say(f"agreement: {agreement}")
        steps = str(options.steps)

        def rook(precision):
            return lambda: common.rook_bench("net", "--arch", options.arch, "--batch", "1", "--precision", precision, "--repetitions", steps)

        contestants = {"onnxruntime f32": lambda: ask("infer", file, size, steps)}
        contestants |= {f"rook {precision}": rook(precision) for precision in common.precisions()}
        found = common.in_turn(contestants, options.rounds)
        started = common.starts(cfg, weights, png, {"onnxruntime f32": lambda: ask("first", file, cfg, pixels)})
    ratios = [common.ratios(found["measured"], f"rook {precision}", ["onnxruntime f32"]) for precision in common.precisions()]
    result |= {"bench": "infer", "arch": options.arch, "size": size, "batch": 1, "steps": options.steps, "agreement": agreement,
               "ratios": ratios, "start_s": started} | found
    common.save(f"onnxruntime-infer-{options.arch}", result)
    common.print_inference(result)


if __name__ == "__main__":
    common.one_line_errors(main)
