"""The HTML page of bench/report.py: bar charts and a roofline, as inline SVG. Opens from disk, loads nothing."""

import html
import math
import statistics

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:980px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}p{margin:.3rem 0;color:#4a5866}
table{border-collapse:collapse;font-size:13px;margin:.6rem 0}th,td{padding:.25rem .6rem;border-bottom:1px solid #dde3e9;text-align:left}
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}details{margin:.6rem 0}summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#12171c;color:#e3e9ef}p{color:#a7b4c0}th,td{border-color:#2c363f}
svg text{fill:#e3e9ef}svg .axis{stroke:#7b8894}}
"""
OURS, THEIRS = "#0b7a75", "#9aa7b3"
KINDS = {"conv fprop": "#0b7a75", "conv dgrad": "#d1603d", "conv wgrad": "#6c4ab6", "": "#8a97a3"}


def text(x, y, content, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {more}>{html.escape(str(content))}</text>'


def bars(rows, unit, digits=1):
    """Horizontal bars of [(name, value, low, high, is ours)]."""
    width, left, height = 940, 330, 24
    largest = max(high for _, _, _, high, _ in rows) or 1
    scale = (width - left - 110) / largest
    out = [f'<svg viewBox="0 0 {width} {height * len(rows) + 8}" role="img">']
    for i, (name, value, low, high, ours) in enumerate(rows):
        y = 4 + i * height
        middle = y + height / 2
        out.append(text(left - 8, middle + 4, name, "end"))
        out.append(f'<rect x="{left}" y="{y + 3}" width="{max(1, value * scale):.1f}" height="{height - 8}" rx="2" fill="{OURS if ours else THEIRS}"/>')
        if high > low:
            out.append(f'<path class="axis" d="M{left + low * scale:.1f} {middle - 1}H{left + high * scale:.1f}" stroke="#1c2733" stroke-width="1.5"/>')
        out.append(text(left + max(value, high) * scale + 6, middle + 4, f"{value:.{digits}f} {unit}"))
    return "\n".join(out) + "</svg>"


def speed_bars(contestants):
    rows = []
    for name, rounds in contestants.items():
        rates = [r["images_per_s"] for r in rounds]
        rows.append((name, statistics.median(rates), min(rates), max(rates), name.startswith("rook")))
    return bars(sorted(rows, key=lambda r: -r[1]), "photos/s")


def plain_bars(values, unit, digits):
    rows = [(name, v, v, v, name.startswith("rook")) for name, v in values.items()]
    return bars(sorted(rows, key=lambda r: r[1]), unit, digits)


# ---- roofline ---------------------------------------------------------------------------------------------------------


class LogAxis:
    def __init__(self, low, high, start, end):
        self.low = math.floor(math.log10(low))
        self.high = max(math.ceil(math.log10(high)), self.low + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def decades(self):
        return [10.0**e for e in range(self.low, self.high + 1)]


def decade(value):
    return f"{value:g}"


def roofline(ops, kind):
    """Every row of a type: operations per byte to the right, what was reached upwards, and the ceilings."""
    rows = [r for r in ops["rows"] if r["type"] == kind and r["flops"] > 0]
    peaks = {p["type"]: p for p in ops["ceilings"].get("products", [])}
    bandwidth = ops["ceilings"]["copy_gb_s"]
    if not rows:
        return ""
    width, height = 940, 480
    intensities, rates = [r["flops"] / r["bytes"] for r in rows], [r["tflops"] * 1e3 for r in rows]
    peak = peaks[kind]["tflops"] * 1e3 if kind in peaks else max(rates)
    x = LogAxis(min(*intensities, peak / bandwidth), max(*intensities, 2 * peak / bandwidth), 70, width - 20)
    y = LogAxis(min(rates), max(*rates, peak), height - 45, 20)
    out = [f'<svg viewBox="0 0 {width} {height}" role="img">']
    for v in x.decades():
        out.append(f'<path d="M{x(v):.1f} {y.start}V{y.end}" stroke="#8a97a3" stroke-opacity=".25"/>')
        out.append(text(x(v), y.start + 18, decade(v), "middle"))
    for v in y.decades():
        out.append(f'<path d="M{x.start} {y(v):.1f}H{x.end}" stroke="#8a97a3" stroke-opacity=".25"/>')
        out.append(text(x.start - 8, y(v) + 4, decade(v), "end"))
    ridge = peak / bandwidth
    first = max(10.0**x.low, 10.0**y.low / bandwidth)
    out.append(f'<path class="axis" fill="none" stroke="#1c2733" stroke-width="1.5" '
               f'd="M{x(first):.1f} {y(first * bandwidth):.1f}L{x(ridge):.1f} {y(peak):.1f}H{x.end}"/>')
    out.append(text(x.end, y(peak) - 6, f"matrix product {peak:.0f} GFLOP/s", "end"))
    out.append(text(x(first) + 60, y(first * bandwidth) - 6, f"copy {bandwidth:.1f} GB/s"))
    for r, i, rate in zip(rows, intensities, rates):
        color = KINDS.get(r["op"], KINDS[""])
        title = f"{r['op']} {r['case']}, batch {r['batch']} {r.get('row', '')}: {r['ms_median']:.4f} ms, {r['ceiling_percent']:.0f} % of the ceiling"
        out.append(f'<circle cx="{x(i):.1f}" cy="{y(rate):.1f}" r="3.5" fill="{color}" fill-opacity=".65"><title>{html.escape(title)}</title></circle>')
    out.append(text((x.start + x.end) / 2, height - 6, "floating point operations per byte", "middle"))
    out.append(text(16, height / 2, "GFLOP/s", "middle", f'transform="rotate(-90 16 {height / 2})"'))
    for n, (name, color) in enumerate(KINDS.items()):
        out.append(f'<circle cx="{90 + 130 * n}" cy="32" r="4" fill="{color}"/>')
        out.append(text(98 + 130 * n, 36, name or "other operations"))
    return "\n".join(out) + "</svg>"


# ---- tables -----------------------------------------------------------------------------------------------------------


def table(header, rows):
    cells = "".join(f"<th>{html.escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def markdown_tables(text):
    """The tables and paragraphs of the README's text."""
    out = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            split = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
            out.append(table(split[0], split[2:]))
        else:
            out.append(f"<p>{html.escape(block.replace('**', '')).replace('[bench/README.md](bench/README.md)', 'bench/README.md')}</p>")
    return "\n".join(out)


def ops_table(ops):
    rows = [[r["op"], r["case"], r["batch"], r["type"], r.get("row", ""), f"{r['ms_median']:.4f}", f"{r['ms_min']:.4f}-{r['ms_max']:.4f}",
             f"{r['tflops']:.3f}", f"{r['gb_s']:.1f}", f"{r['ceiling_percent']:.0f} %",
             f"{r['over_library']:.2f}x" if "over_library" in r else "", "unsteady" if r["unsteady"] else ""] for r in ops["rows"]]
    return table(["operation", "case", "batch", "type", "row", "ms", "min-max", "TFLOP/s", "GB/s", "of ceiling", "over library", ""], rows)


def sections(results):
    for arch in results.archs("infer"):
        yield f"Inference, {arch}, one photo", "Lines: from the slowest to the fastest round.", speed_bars(results.contestants("infer", arch))
        started = {}
        for (a, _), result in results.infer.items():
            if a == arch:
                started |= result.get("start_s", {})
        if started:
            yield f"From the start of the program to the first boxes, {arch}", "", plain_bars(started, "s", 2)
        peaks = {n: max(r["peak_mb"] for r in rounds) for n, rounds in results.contestants("infer", arch).items()}
        yield f"Peak memory of inference, {arch}", "", plain_bars({n: p for n, p in peaks.items() if p > 0}, "MB", 0)
    for arch in results.archs("train"):
        yield f"Training steps, {arch}", "Lines: from the slowest to the fastest round.", speed_bars(results.contestants("train", arch))
    for (arch, _), result in results.memory.items():
        yield f"Peak memory of training, {arch}, batch {result['batch']}", "", plain_bars(result["peak_mb"], "MB", 0)
    if results.net:
        rates = {f"rook {r['network']} {r['precision']}, batch {r['batch']}": r["images_per_s"] for r in results.net["rows"]}
        yield "Throughput by batch size", "", bars([(n, v, v, v, True) for n, v in rates.items()], "photos/s")
    for row in results.parts["rows"] if results.parts else []:
        parts = {f"rook {name}": v for name, v in row["parts_images_per_s"].items()}
        yield (f"Parts of training, {row['network']} {row['precision']}, batch {row['batch']}",
               f"Each alone; a whole step: {row['images_per_s']:.1f} photos/s. Photos are loaded once, before training.",
               bars([(n.removeprefix("rook "), v, v, v, True) for n, v in parts.items()], "photos/s"))
    if results.torch_ops:
        for batch in dict.fromkeys(r["batch"] for r in results.torch_ops["rows"]):
            rows = [(f"{r['op']} {r['case']} {r['type']}", r["over_torch"], r["over_torch_min"], r["over_torch_max"], True)
                    for r in results.torch_ops["rows"] if "over_torch" in r and r["batch"] == batch]
            yield (f"Operations over PyTorch's, on the same tensors, batch {batch}",
                   "Above 1: rook is faster. Lines: from the worst to the best pair of samples.", bars(rows, "x", 2))
    if results.ops:
        for product in results.ops["ceilings"].get("products", []):
            yield (f"Roofline, {product['type']}", "A point is one operation; its name is shown when pointed at.",
                   roofline(results.ops, product["type"]))


def page(results, markdown):
    out = ["<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>rook: benchmarks</title>",
           f"<style>{STYLE}</style><h1>rook: benchmarks</h1>", markdown_tables(markdown)]
    for title, note, figure in sections(results):
        out.append(f"<h2>{html.escape(title)}</h2>" + (f"<p>{html.escape(note)}</p>" if note else "") + figure)
    if results.ops:
        note = f"{results.ops['unsteady_rows']} of {len(results.ops['rows'])} rows vary by more than 15 % between their quartiles: where there are many, something else ran on the machine."
        out.append(f"<h2>All operations</h2><p>{note}</p><details><summary>{len(results.ops['rows'])} rows</summary>{ops_table(results.ops)}</details>")
    return "\n".join(out)
