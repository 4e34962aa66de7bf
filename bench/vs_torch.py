#!/usr/bin/env python3
"""rook beside PyTorch: training, inference, memory, single operations; on the CPU, or on a GPU with --device cuda.

    vs_torch.py train [--arch yolov4-tiny] [--batch 8] [--classes 12]   whole training steps
    vs_torch.py infer [--arch yolov4-tiny ...]                          one photo: forward and decoding
    vs_torch.py memory [--batch 16]                                     peak memory of a whole training process
    vs_torch.py ops [--filter TEXT]                                     rook's operations on PyTorch's own tensors

Before anything is timed, both must give the same boxes for the same picture and random weights, the same loss and
gradient, or the same result. bench/README.md says what is compared with what. Every measurement is a process of its
own (torch_worker.py, torch_ops.py); the program of rook is $ROOK.
"""

import pathlib
import statistics
import tempfile

import agree
import common
import darknet
from torch_worker import Trainer, seconds_of, start_torch  # noqa: F401  bench/gpu_torch.py takes them from here

ZOO = common.ROOT / "model" / "zoo"

# Name: (precision and way, kernels as PyTorch chooses them). PyTorch 1.13 takes its AVX2 kernels on AVX-512 machines unless
# told otherwise; it is told, and one mode is left as it is to show the difference.
TRAIN_MODES = {
    "torch f32": ("f32 nchw", False),
    "torch f32 channels_last": ("f32 nhwc", False),
    "torch f32 compiled": ("f32 compiled", False),
    "torch bf16 autocast channels_last": ("bf16 nhwc", False),
    "torch bf16 autocast compiled": ("bf16 compiled", False),
    "torch bf16 autocast channels_last, default kernels": ("bf16 nhwc", True),
}
INFER_MODES = {
    "torch f32": ("f32 nchw", False),
    "torch f32 channels_last": ("f32 nhwc", False),
    "torch f32 traced, frozen": ("f32 jit", False),
    "torch f32 traced, optimize_for_inference": ("f32 optimized", False),
    "torch f32 compiled": ("f32 compiled", False),
    "torch bf16 channels_last": ("bf16 nhwc", False),
    "torch bf16 traced, frozen": ("bf16 jit", False),
    "torch bf16 compiled": ("bf16 compiled", False),
    "torch bf16 channels_last, default kernels": ("bf16 nhwc", True),
}


def wide_vectors():
    return "avx512vl" in pathlib.Path("/proc/cpuinfo").read_text()


def kernels(default):
    """Environment of a mode: the widest vectors PyTorch has for this processor, or what it chooses itself."""
    return {"ATEN_CPU_CAPABILITY": "avx512"} if wide_vectors() and not default else {}


def cpu_modes(modes):
    """Those that make sense on this processor: bf16 where it computes in it, PyTorch's own choice where it is another."""
    precisions = common.precisions()
    return {name: (mode, default) for name, (mode, default) in modes.items()
            if mode.split()[0] in precisions and (wide_vectors() or not default)}


def ask(*arguments, script="torch_worker.py", **env):
    return common.worker(common.ROOT / "bench" / script, arguments, **env)


def torch_contestants(options, what, cfg, weights, batch):
    """{name: what measures it once} of all of PyTorch's modes on the device."""
    if options.device == "cuda":
        import gpu_torch

        def on_gpu(mode):
            def measure():
                figures = ask("measure", "cuda", what, cfg, weights, batch, options.steps, mode, script="gpu_torch.py")[mode]
                if "error" in figures:
                    raise RuntimeError(figures["error"])
                return figures

            return measure

        return {f"torch {mode}": on_gpu(mode) for mode in gpu_torch.MODES[what]}

    def on_cpu(mode, default):
        extra = (batch,) if what == "train" else ()
        return lambda: ask(what, cfg, weights, mode, *extra, options.steps, **kernels(default))

    return {name: on_cpu(*mode) for name, mode in cpu_modes(TRAIN_MODES if what == "train" else INFER_MODES).items()}


def gate(folder, cfg, weights, size):
    png, pixels = agree.gate_picture(folder, size)
    found = ask("gate", cfg, weights, png, pixels)
    for how, agreement in found.items():
        common.say(f"agreement ({how}): {agreement['boxes']} boxes, score within {agreement['score_difference']:.1e}, "
                   f"box within {agreement['box_difference']:.1e} of its size")
    return found


def measured_with(options, what, cfg, weights, rook_flags, batch):
    """Figures of rook and PyTorch in turn, and the ratios: each precision of rook beside the best mode that computes in as
    few bits or more."""
    def rook(precision):
        return lambda: common.rook_bench(*rook_flags, "--device", options.device, "--arch", options.arch, "--batch", str(batch), "--precision",
                                        precision, "--repetitions", str(options.steps))

    precisions = common.precisions(options.device)
    rivals = torch_contestants(options, what, cfg, weights, batch)
    found = common.in_turn({f"rook {p}": rook(p) for p in precisions} | rivals, options.rounds)
    plain = [name for name in rivals if " f32" in name]
    found["ratios"] = [common.ratios(found["measured"], f"rook {p}", plain if p == "f32" else list(rivals)) for p in reversed(precisions)]
    return found


def train(options):
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg", options.classes)
        agreement = gate(folder, cfg, weights, size)
        loss = operations(options, "f32", options.batch, "yolo_loss")["rows"][0]["difference"]
        common.say(f"loss and its gradient: within {loss:.1e} of the largest value")
        found = measured_with(options, "train", cfg, weights, ("train", "--classes", str(options.classes)), options.batch)
    result = {"bench": "train", "arch": options.arch, "size": size, "batch": options.batch, "classes": options.classes, "steps": options.steps,
              "agreement": agreement | {"loss": loss}} | found
    return result, f"Training step, {options.arch} at {size}, batch {options.batch}, {options.classes} classes"


def infer(options):
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg")
        agreement = gate(folder, cfg, weights, size)
        found = measured_with(options, "infer", cfg, weights, ("net",), options.batch)
        started = common.starts(cfg, weights, f"{folder}/picture.png",
                                {"torch f32": lambda: ask("first", cfg, weights, f"{folder}/picture.npy")})
    result = {"bench": "infer", "arch": options.arch, "size": size, "batch": options.batch, "steps": options.steps, "agreement": agreement,
              "start_s": started} | found
    return result, f"Inference, {options.arch} at {size}, batch {options.batch}"


def memory(options):
    if options.device == "cuda":
        common.die("memory: is measured on the CPU; on a GPU bench/gpu.py does it")
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights, size = darknet.prepare(folder, ZOO / f"{options.arch}.cfg", options.classes)
        peaks = {}
        for precision in reversed(common.precisions()):
            peaks[f"rook {precision}"] = common.rook_bench("train", "--arch", options.arch, "--batch", str(options.batch), "--classes",
                                                          str(options.classes), "--precision", precision, "--repetitions", "1")["peak_mb"]
            common.say(f"rook {precision}: {peaks[f'rook {precision}']:.0f} MB")
        for name, (mode, default) in cpu_modes(TRAIN_MODES).items():
            if mode.endswith("compiled"):
                continue  # what compiling takes is not what training takes
            peaks[name] = ask("train", cfg, weights, mode, options.batch, 1, **kernels(default))["peak_mb"]
            common.say(f"{name}: {peaks[name]:.0f} MB")
    result = {"bench": "memory", "arch": options.arch, "size": size, "batch": options.batch, "classes": options.classes,
              "peak_mb": {name: round(peak, 1) for name, peak in peaks.items()}}
    return result, f"Peak memory of a training process, {options.arch} at {size}, batch {options.batch}"


def operations(options, precision, batch, wanted):
    return ask("ops", options.device, precision, batch, options.rounds, wanted, script="torch_ops.py", says=True, **kernels(False))


def ops(options):
    """Rows of all precisions and batch sizes."""
    rows, load = [], common.OtherLoad()
    for precision in common.precisions(options.device):
        for batch in options.batches:
            rows += operations(options, precision, batch, options.filter)["rows"]
    if not rows:
        common.die(f"--filter {options.filter}: no operation has it in its name")
    return {"bench": "torch-ops", "rounds": options.rounds, "rows": rows, "other_load_percent": load.percent()}, "Operations on PyTorch's tensors"


def print_ops(result, title):
    print(f"\n### {title}\n\n{common.operations_beside_torch(result)}")
    print(f"\nGeometric mean: {statistics.geometric_mean(r['over_torch'] for r in result['rows'] if r['row'] == 'rook'):.2f}x")
    common.caption(result)


def print_result(result, title):
    if "rows" in result:
        print_ops(result, title)
    elif "peak_mb" in result:
        peaks = result["peak_mb"]
        first = next(iter(peaks))
        common.print_table(title, ["", "MB", f"over {first}"], [[n, f"{p:.0f}", f"{p / peaks[first]:.2f}x"] for n, p in peaks.items()])
        common.caption(result)
    else:
        common.print_comparison(result, title)


def main():
    parser = common.arguments(__doc__.splitlines()[0], steps=None)
    parser.add_argument("what", choices=["train", "infer", "memory", "ops"])
    parser.add_argument("--arch", default="yolov4-tiny", help="one of model/zoo")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", default=None, help="photos at a time (infer: 1, train: 8, memory: 16, ops: 1,8, a list)")
    parser.add_argument("--classes", type=int, default=12, help="classes when training")
    parser.add_argument("--filter", default="", help="ops: only those whose name contains this")
    options = parser.parse_args()
    options.batches = [int(b) for b in (options.batch or {"infer": "1", "train": "8", "memory": "16", "ops": "1,8"}[options.what]).split(",")]
    options.batch = options.batches[0]
    options.steps = options.steps or (30 if options.what == "infer" else 10)
    heading = common.heading(**ask("version"))
    result, title = {"train": train, "infer": infer, "memory": memory, "ops": ops}[options.what](options)
    result = heading | result
    common.save(f"torch-{options.what}" + ("" if options.what == "ops" else f"-{options.arch}"), result)
    print_result(result, title)


if __name__ == "__main__":
    common.one_line_errors(main)
