"""A darknet network as a PyTorch module, its decoding, and the loss rook trains with (its `fixed` mode)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

import darknet


class MaxPool(nn.Module):
    """darknet's: size - 1 pixels of padding in all, the smaller half before; padding is never chosen."""

    def __init__(self, size, stride):
        super().__init__()
        before = (size - 1) // 2
        self.around = (before, size - 1 - before) * 2
        symmetric = size % 2 == 1
        self.pads = not symmetric and not size == stride == 2
        self.pool = nn.MaxPool2d(size, stride, padding=before if symmetric else 0, ceil_mode=size == stride == 2)

    def forward(self, x):
        return self.pool(F.pad(x, self.around, value=-math.inf) if self.pads else x)


def activation(name):
    if name == "leaky":
        return [nn.LeakyReLU(0.1, inplace=True)]
    if name == "linear":
        return []
    raise ValueError(f"activation={name}: not known here")


def convolution(options, shape, values, folded, bn_momentum):
    groups, size = int(options.get("groups", 1)), shape[2]
    padding = size // 2 if options.get("pad", "0") != "0" else int(options.get("padding", 0))
    batchnorm = darknet.has_batchnorm(options)
    conv = nn.Conv2d(shape[1] * groups, shape[0], size, int(options.get("stride", 1)), padding, groups=groups, bias=folded or not batchnorm)
    weights, bias = darknet.fold(values) if folded else (values["weights"], values["bias"])
    conv.weight.data = torch.tensor(weights, dtype=torch.float32)
    if conv.bias is not None:
        conv.bias.data = torch.tensor(bias, dtype=torch.float32)
    parts = [conv]
    if batchnorm and not folded:
        norm = nn.BatchNorm2d(shape[0], eps=1e-5, momentum=bn_momentum)
        norm.weight.data, norm.bias.data = torch.tensor(values["scale"]), torch.tensor(values["bias"])
        norm.running_mean, norm.running_var = torch.tensor(values["mean"]), torch.tensor(values["var"])
        parts.append(norm)
    return nn.Sequential(*parts, *activation(options["activation"]))


class Head:
    """A [yolo] section."""

    def __init__(self, options):
        self.classes = int(options["classes"])
        table = [float(v) for v in options["anchors"].split(",")]
        self.table = list(zip(table[0::2], table[1::2]))  # pixels
        self.mask = darknet.integers(options["mask"])
        self.anchors = [self.table[m] for m in self.mask]
        self.scale_x_y = float(options.get("scale_x_y", 1))


class Darknet(nn.Module):
    """[N, 3, H, W] in 0..1 -> the logits of each head, [N, anchors * (5 + classes), H', W'] in f32.

    folded: batch norm is part of the convolutions (for inference).
    """

    def __init__(self, cfg, weights, folded=False, bn_momentum=0.1):
        super().__init__()
        sections = darknet.read_cfg(cfg)
        values, shapes = darknet.read_weights(weights, sections), darknet.convolutions(sections)
        self.steps, self.heads = [], []  # a step: (kind, layers read, (groups, which of them) of a route's channels)
        self.kept = set()  # layers that are read later
        self.layers = nn.ModuleList()
        for i, (kind, options) in enumerate(sections[1:]):
            module, inputs, groups = nn.Identity(), [i - 1], (1, 0)
            if kind == "convolutional":
                module = convolution(options, shapes[i], values[i], folded, bn_momentum)
            elif kind == "maxpool":
                stride = int(options.get("stride", 1))
                module = MaxPool(int(options.get("size", stride)), stride)
            elif kind == "upsample":
                module = nn.Upsample(scale_factor=int(options.get("stride", 2)), mode="nearest")
            elif kind == "dropout":
                module = nn.Dropout(float(options.get("probability", 0.5)))
            elif kind == "route":
                inputs = darknet.absolute(options["layers"], i)
                groups = (int(options.get("groups", 1)), int(options.get("group_id", 0)))
            elif kind == "shortcut":
                inputs = [i - 1, *darknet.absolute(options["from"], i)]
                module = nn.Sequential(*activation(options.get("activation", "linear")))
            elif kind == "yolo":
                self.heads.append(Head(options))
            else:
                raise ValueError(f"{cfg}: [{kind}]: not known here")
            self.layers.append(module)
            self.steps.append((kind, inputs, groups))
            if kind in ("route", "shortcut"):
                self.kept.update(inputs)

    def forward(self, x):
        outputs, logits = {}, []
        for i, (module, (kind, inputs, (groups, group))) in enumerate(zip(self.layers, self.steps)):
            if kind == "yolo":
                logits.append(x.float())
                continue
            if kind == "route":
                parts = [outputs[j] if groups == 1 else outputs[j].chunk(groups, 1)[group] for j in inputs]
                x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
            elif kind == "shortcut":
                x = outputs[inputs[0]]
                for j in inputs[1:]:
                    x = x + outputs[j]
                x = module(x)
            else:
                x = module(x)
            if i in self.kept:
                outputs[i] = x
        return tuple(logits)


def entries_last(logits, head):
    """[N, A * E, H, W] -> [N, A, H, W, E]"""
    n, _, h, w = logits.shape
    return logits.view(n, len(head.anchors), 5 + head.classes, h, w).permute(0, 1, 3, 4, 2)


def boxes_of(t, head, cells, size):
    """Outputs [..., 4], column, row and anchor [...] -> centre boxes [..., 4] relative to the picture."""
    column, row, anchor_w, anchor_h, grid_w, grid_h = cells
    s = head.scale_x_y
    x = (t[..., 0].sigmoid() * s - (s - 1) / 2 + column) / grid_w
    y = (t[..., 1].sigmoid() * s - (s - 1) / 2 + row) / grid_h
    return torch.stack([x, y, t[..., 2].clamp(max=8).exp() * anchor_w / size, t[..., 3].clamp(max=8).exp() * anchor_h / size], -1)


def grid_of(head, h, w):
    anchors = torch.tensor(head.anchors)
    return (torch.arange(w).view(1, 1, w), torch.arange(h).view(1, h, 1), anchors[:, 0].view(-1, 1, 1), anchors[:, 1].view(-1, 1, 1), w, h)


def decode(logits, heads, size):
    """All heads together: centre boxes [N, M, 4] relative to the picture, objectness times class [N, M, C]."""
    boxes, scores = [], []
    for raw, head in zip(logits, heads):
        t = entries_last(raw, head)
        n, a, h, w, e = t.shape
        boxes.append(boxes_of(t, head, grid_of(head, h, w), size).reshape(n, -1, 4))
        p = t[..., 4:].sigmoid()
        scores.append((p[..., :1] * p[..., 1:]).reshape(n, -1, head.classes))
    return torch.cat(boxes, 1), torch.cat(scores, 1)


# ---- loss -----------------------------------------------------------------------------------------------------------


def corners(box):
    return box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2


def overlap(a, b):
    """IoU, and the corners of both."""
    (a_low, a_high), (b_low, b_high) = corners(a), corners(b)
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(-1)
    united = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared
    return shared / united.clamp(min=1e-12), (a_low, a_high, b_low, b_high)


def ciou(p, t):
    """CIoU (Zheng et al. 2020) with alpha held constant."""
    iou, (p_low, p_high, t_low, t_high) = overlap(p, t)
    diagonal = (torch.maximum(p_high, t_high) - torch.minimum(p_low, t_low)).square().sum(-1)
    distance = (p[..., :2] - t[..., :2]).square().sum(-1)
    v = 4 / math.pi**2 * (torch.atan2(t[..., 2], t[..., 3]) - torch.atan2(p[..., 2], p[..., 3])).square()
    with torch.no_grad():
        alpha = v / (1 - iou + v + 1e-6)
    return iou - distance / diagonal.clamp(min=1e-12) - alpha * v


class YoloLoss:
    """(5 sum (1 - CIoU) + sum BCE objectness + sum BCE classes) / positives, over all heads and photos.

    A truth takes the anchor that fits best by shape, and every other with a shape IoU above 0.213. Objectness: 1 where a
    truth is, no opinion where the box overlaps one by more than 0.7, else 0.
    """

    def __init__(self, heads, size, box=5.0, ignore=0.7, take=0.213):
        self.heads, self.size, self.box, self.ignore, self.take = heads, size, box, ignore, take
        self.used = sorted({m for head in heads for m in head.mask})
        self.table = torch.tensor(heads[0].table) / size

    def taken(self, truths):
        """[M, anchors of the table]: which anchors each truth takes."""
        size, anchors = truths[:, None, 3:5], self.table[None]
        shared = torch.minimum(size, anchors).prod(-1)
        fit = shared / (size.prod(-1) + anchors.prod(-1) - shared)
        best = torch.tensor(self.used)[fit[:, self.used].argmax(1)]
        taken = fit > self.take
        taken[torch.arange(len(truths)), best] = True
        return taken

    def __call__(self, logits, truths, photo, padded):
        """truths [M, 5]: class, centre box; photo [M]; padded [N, T, 4]: the boxes by photo, filled up with zeros."""
        taken = self.taken(truths)
        box = objectness = classes = 0.0
        positives = 0
        for raw, head in zip(logits, self.heads):
            t = entries_last(raw, head)
            n, a, h, w, _ = t.shape
            which, anchor = taken[:, head.mask].nonzero(as_tuple=True)
            column = (truths[which, 1] * w).long().clamp(0, w - 1)
            row = (truths[which, 2] * h).long().clamp(0, h - 1)
            place = (photo[which], anchor, row, column)
            matched = t[place]  # [P, E]
            sizes = torch.tensor(head.anchors)[anchor]
            predicted = boxes_of(matched[:, :4], head, (column, row, sizes[:, 0], sizes[:, 1], w, h), self.size)
            box = box + (1 - ciou(predicted, truths[which, 1:])).sum()
            positives += len(which)
            with torch.no_grad():
                target = torch.zeros(n, a, h, w)
                wanted = torch.zeros(n, a, h, w, head.classes)
                wanted[(*place, truths[which, 0].long())] = 1
                every = boxes_of(t[..., :4], head, grid_of(head, h, w), self.size).view(n, -1, 1, 4)
                best = overlap(every, padded[:, None])[0].amax(-1).view(n, a, h, w)
                weight = (best <= self.ignore).float()
                target[place] = weight[place] = 1.0
            objectness = objectness + F.binary_cross_entropy_with_logits(t[..., 4], target, weight, reduction="sum")
            classes = classes + F.binary_cross_entropy_with_logits(matched[:, 5:], wanted[place], reduction="sum")
        return (self.box * box + objectness + classes) / max(1, positives)
