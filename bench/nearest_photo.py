"""The baseline that learns nothing: a photo gets the boxes of the training photo that looks most like it.

How much of a score this reaches says how alike the splits are. numpy, and cv2 to decode photos.
"""

import json
import pathlib

import numpy as np

SIDE = 32  # of the grey thumbnails that are compared


def read_split(folder, merge):
    """[(file name, [[class, left, top, right, bottom], ...])], boxes relative to the photo, by a Roboflow COCO JSON."""
    coco = json.loads((folder / "_annotations.coco.json").read_text())
    names = {c["id"]: merge.get(c["name"], c["name"]) for c in coco["categories"]}
    boxes = {image["id"]: [] for image in coco["images"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    for a in coco["annotations"]:
        (w, h), (left, top, width, height) = sizes[a["image_id"]], a["bbox"]
        boxes[a["image_id"]].append((names[a["category_id"]], left / w, top / h, (left + width) / w, (top + height) / h))
    return [(image["file_name"], boxes[image["id"]]) for image in coco["images"]]


def thumbnails(cv2, folder, photos):
    grey = [cv2.imread(str(folder / name), cv2.IMREAD_REDUCED_GRAYSCALE_8) for name, _ in photos]
    return np.stack([cv2.resize(g, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for g in grey]).reshape(len(photos), -1).astype("f4")


def iou(a, b):
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def average_precision(found, truths, threshold=0.5):
    """COCO's: found is [(photo, box)] by falling confidence, truths {photo: [box]}. Each takes the free truth that it
    overlaps most; precision is made monotone and read at 101 recalls."""
    free = {photo: list(boxes) for photo, boxes in truths.items()}
    total = sum(len(boxes) for boxes in truths.values())
    hits = []
    for photo, box in found:
        overlaps = [iou(box, truth) for truth in free.get(photo, [])]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hits.append(best >= 0 and overlaps[best] >= threshold)
        if hits[-1]:
            free[photo].pop(best)
    if not hits:
        return 0.0
    true = np.cumsum(hits)
    recall, precision = true / total, true / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0).mean())


def map50(predicted, truths):
    """Both [[(class, box...)] per photo]; every box has confidence 1, so photos keep their order."""
    scores = []
    for name in sorted({box[0] for boxes in truths for box in boxes}):
        found = [(photo, box[1:]) for photo, boxes in enumerate(predicted) for box in boxes if box[0] == name]
        wanted = {photo: [box[1:] for box in boxes if box[0] == name] for photo, boxes in enumerate(truths)}
        scores.append(average_precision(found, wanted))
    return float(np.mean(scores))


def baselines(chess, merge):
    """{number of training photos: {"valid": mAP50, "test": mAP50}} of the 102 and of all; None without cv2."""
    try:
        import cv2
    except ImportError:
        return None
    chess = pathlib.Path(chess)
    train = read_split(chess / "train", merge)
    views = thumbnails(cv2, chess / "train", train)
    few = set((chess / "splits" / "v1_train.txt").read_text().split())
    subsets = [[i for i, (name, _) in enumerate(train) if name in few], list(range(len(train)))]
    result = {str(len(subset)): {} for subset in subsets}
    for split in ("valid", "test"):
        photos = read_split(chess / split, merge)
        distance = ((thumbnails(cv2, chess / split, photos)[:, None] - views[None]) ** 2).sum(-1)
        for subset in subsets:
            nearest = [subset[i] for i in distance[:, subset].argmin(1)]
            result[str(len(subset))][split] = map50([train[i][1] for i in nearest], [boxes for _, boxes in photos])
    return result
