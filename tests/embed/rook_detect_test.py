"""embed/rook_detect.py finds what `rook detect` finds, however a picture comes in.

ROOK_PROGRAM is rook, ROOK_DETECT_LIBRARY the library.
"""

import array
import copy
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import threading
import unittest

ROOK_DETECT = pathlib.Path(__file__).resolve().parents[2] / "embed"
sys.path.insert(0, str(ROOK_DETECT))
import rook_detect  # noqa: E402

ROOK = os.environ["ROOK_PROGRAM"]
CONFIDENCE = "0.05"


def rook(*words):
    return subprocess.run([ROOK, *words], check=True, capture_output=True, text=True).stdout


class RookDetect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        out = os.path.join(cls.folder.name, "set")
        rook("synth", "chess", "--images", "10", "--out", out)
        cls.photos = sorted(str(p) for p in pathlib.Path(out).rglob("*.jpg"))
        assert len(cls.photos) == 10
        cls.truth = json.loads(rook("detect", "--model", "rendered", "--conf", CONFIDENCE, "--json", "-", *cls.photos))
        cls.truth.sort(key=lambda photo: -len(photo["detections"]))  # some boards are empty
        assert len(cls.truth[0]["detections"]) > 5
        cls.photos = [photo["image"] for photo in cls.truth]
        cls.detector = rook_detect.Detector("rendered", confidence=float(CONFIDENCE))

    @classmethod
    def tearDownClass(cls):
        cls.detector.close()
        cls.folder.cleanup()

    def check(self, boxes, wanted):
        self.assertEqual(len(boxes), len(wanted))
        for box, want in zip(boxes, wanted):
            self.assertEqual((box.name, box.class_id), (want["class"], want["class_id"]))
            self.assertAlmostEqual(box.score, want["score"], delta=1e-6)
            for got, number in zip((box.left, box.top, box.width, box.height), want["box"]):
                self.assertAlmostEqual(got, number, delta=1e-3)

    def test_files_and_bytes(self):
        for photo, truth in zip(self.photos, self.truth):
            self.check(self.detector(photo), truth["detections"])
            self.check(self.detector(pathlib.Path(photo)), truth["detections"])
            self.check(self.detector(pathlib.Path(photo).read_bytes()), truth["detections"])

    def test_arrays(self):
        try:
            import numpy as np
            from PIL import Image
        except ImportError:
            self.skipTest("without NumPy and Pillow")
        # Decoded by another library, so only nearly the same picture: as many boxes of high confidence.
        rgb = np.asarray(Image.open(self.photos[0]).convert("RGB"))
        boxes = self.detector(rgb)
        self.assertEqual(boxes, self.detector(Image.open(self.photos[0]).convert("RGB")))
        self.assertEqual(boxes, self.detector(rgb[..., ::-1], order="bgr"))
        self.assertEqual(boxes, self.detector(np.dstack([rgb, rgb[..., 0]]), order="rgba"))
        sure = [b for b in boxes if b.score > 0.5]
        self.assertEqual(len(sure), sum(d["score"] > 0.5 for d in self.truth[0]["detections"]))

    def test_grey(self):
        width, height = self.detector.input_size
        self.assertGreater(width * height, 0)
        rows = memoryview(bytes(width * height)).cast("B", (height, width))
        self.assertEqual(self.detector(rows, order="grey"), self.detector(
            memoryview(bytes(width * height * 3)).cast("B", (height, width, 3))))

    def test_more_boxes_than_room(self):
        room, rook_detect._ROOM = rook_detect._ROOM, 1
        try:
            self.check(self.detector(self.photos[0]), self.truth[0]["detections"])
        finally:
            rook_detect._ROOM = room

    def test_copies_open_the_model_anew(self):
        for other in (copy.copy(self.detector), pickle.loads(pickle.dumps(self.detector))):
            self.check(other(self.photos[0]), self.truth[0]["detections"])
            other.close()
        self.check(self.detector(self.photos[0]), self.truth[0]["detections"])

    def test_closed_while_others_detect(self):
        detector, outcomes = rook_detect.Detector("rendered"), []

        def detect():
            try:
                while True:
                    detector(self.photos[0])
            except rook_detect.RookError as error:
                outcomes.append(str(error))

        threads = [threading.Thread(target=detect) for _ in range(3)]
        for thread in threads:
            thread.start()
        detector(self.photos[0])
        detector.close()
        for thread in threads:
            thread.join()
        self.assertEqual(outcomes, ["the detector is closed"] * 3)

    def test_a_forked_process_is_told(self):
        script = f"""
import os, sys
sys.path.insert(0, {str(ROOK_DETECT)!r})
import rook_detect
detector = rook_detect.Detector("rendered")
child = os.fork()
if child == 0:
    try:
        detector({self.photos[0]!r})
    except rook_detect.RookError as error:
        print(error, flush=True)
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "OMP_NUM_THREADS": "2"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("forked", done.stdout)

    def test_names(self):
        self.assertEqual(len(self.detector.names), 12)
        self.assertIn("white-queen", self.detector.names)

    def test_what_cannot_be_is_said(self):
        def refused(words, call):
            with self.assertRaisesRegex(rook_detect.RookError, words):
                call()

        refused("has a byte 0", lambda: self.detector("a.jpg\0.png"))
        refused("size: ", lambda: rook_detect.Detector("rendered", size=2**40 + 32))
        refused(r"order: \[\]", lambda: self.detector(memoryview(bytes(3)).cast("B", (1, 1, 3)), order=[]))
        refused("no-such-run", lambda: rook_detect.Detector("no-such-run"))
        refused("device 'tpu' is not known", lambda: rook_detect.Detector("rendered", device="tpu"))
        refused("confidence: 7", lambda: rook_detect.Detector("rendered", confidence=7))
        refused("none.jpg", lambda: self.detector("none.jpg"))
        refused("picture", lambda: self.detector(b"no picture"))
        refused("not int", lambda: self.detector(7))
        refused("order: 'hsv'", lambda: self.detector(memoryview(bytes(3)).cast("B", (1, 1, 3)), order="hsv"))
        refused(r"shape \[1, 1, 4\]", lambda: self.detector(memoryview(bytes(4)).cast("B", (1, 1, 4))))
        refused("format f", lambda: self.detector(array.array("f", [1, 2, 3])))
        with rook_detect.Detector("rendered") as detector:
            pass
        refused("closed", lambda: detector(self.photos[0]))


if __name__ == "__main__":
    unittest.main()
