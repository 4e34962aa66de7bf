"""docs/story.py: how it counts what the model gets right, and what it does to a page."""

import argparse
import contextlib
import importlib.util
import io
import json
import pathlib
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("story", ROOT / "docs/story.py")
story = importlib.util.module_from_spec(spec)
spec.loader.exec_module(story)


def coco(**photos):
    """Labels with a photo for each argument, a list of (class, box)."""
    names = sorted({name for boxes in photos.values() for name, _ in boxes})
    return {"categories": [{"id": i, "name": name} for i, name in enumerate(names)],
            "images": [{"id": i, "file_name": photo + ".jpg"} for i, photo in enumerate(photos)],
            "annotations": [{"image_id": i, "category_id": names.index(name), "bbox": box} for i, boxes in enumerate(photos.values()) for name, box in boxes]}


class Story(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        quiet = contextlib.redirect_stdout(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)

    def test_iou(self):
        self.assertEqual(story.iou([0, 0, 2, 2], [0, 0, 2, 2]), 1)
        self.assertAlmostEqual(story.iou([0, 0, 2, 2], [1, 1, 2, 2]), 1 / 7)
        self.assertEqual(story.iou([0, 0, 2, 2], [2, 0, 2, 2]), 0)
        self.assertEqual(story.iou([0, 0, 1, 1], [5, 5, 1, 1]), 0)

    def test_proposals(self):
        box, other = [0, 0, 10, 10], [50, 50, 10, 10]
        truth = coco(a=[("king", box), ("pawn", other)], b=[("pawn", box)], c=[], d=[("pawn", box)])
        proposed = coco(a=[("pawn", other), ("king", [1, 0, 10, 10])],  # in another order, one a little off
                        b=[("king", box)],                              # another class
                        c=[],                                           # rightly nothing
                        d=[("pawn", box), ("pawn", box)])               # twice: one too many
        for name, labels in (("truth", truth), ("proposed/train", proposed)):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name / story.LABELS).write_text(json.dumps(labels))
        out = self.folder / "label.json"
        args = argparse.Namespace(folder=self.folder / "proposed", truth=self.folder / "truth", json=out)
        story.proposals(args)
        self.assertEqual(json.loads(out.read_text()), {"photos": 4, "proposed": 5, "boxes": 4, "right": 3, "untouched": 2})
        proposed["images"].pop()
        proposed["annotations"] = []
        (self.folder / "proposed/train" / story.LABELS).write_text(json.dumps(proposed))
        with self.assertRaisesRegex(SystemExit, "other photos.*d.jpg"):
            story.proposals(args)

    def test_same(self):
        box = {"class": "king", "score": 0.5, "box": [1, 2, 3, 4]}
        self.assertTrue(story.same([box], [box | {"score": 0.5001, "box": [1.1, 2, 3, 4]}]))
        for other in ([], [box, box], [box | {"class": "pawn"}], [box | {"score": 0.6}], [box | {"box": [1, 2, 3, 5]}]):
            self.assertFalse(story.same([box], other))

    def test_write(self):
        page, table = self.folder / "page.md", self.folder / "table.md"
        table.write_text("| new |\n")
        page.write_text(f"before\n{story.BEGIN}\n\n| old |\n\n{story.END}\nafter\n")
        for _ in range(2):  # the second time changes nothing
            story.write(argparse.Namespace(table=table, page=page))
            self.assertEqual(page.read_text(), f"before\n{story.BEGIN}\n\n| new |\n\n{story.END}\nafter\n")
        for text in ("nothing", story.BEGIN, f"{story.END} {story.BEGIN}", f"{story.BEGIN} {story.BEGIN} {story.END}"):
            page.write_text(text)
            with self.assertRaises(SystemExit):
                story.write(argparse.Namespace(table=table, page=page))
            self.assertEqual(page.read_text(), text)

    def test_page_has_its_place(self):
        text = (ROOT / "docs/transfer-learning.md").read_text()
        self.assertEqual((text.count(story.BEGIN), text.count(story.END)), (1, 1))

    def test_first_photos(self):
        (self.folder / "train").mkdir()
        names = [f"{i}.jpg" for i in range(150)]
        (self.folder / "train" / story.LABELS).write_text(json.dumps(coco(**{str(i): [] for i in range(150)})))
        out = self.folder / "first.txt"
        story.list_first(argparse.Namespace(source=self.folder, out=out))
        chosen = out.read_text().split()
        self.assertEqual(len(set(chosen) & set(names)), story.FIRST_PHOTOS)
        (self.folder / "splits").mkdir()
        (self.folder / "splits/v1_train.txt").write_text("3.jpg\n5.jpg\n")
        story.list_first(argparse.Namespace(source=self.folder, out=out))
        self.assertEqual(out.read_text(), "3.jpg\n5.jpg\n")


if __name__ == "__main__":
    unittest.main()
