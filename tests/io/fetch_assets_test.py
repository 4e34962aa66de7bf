"""io/fetch_assets.py against a server on the loopback address that behaves and misbehaves."""

import hashlib
import http.server
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "io" / "fetch_assets.py"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.files. server.cut: names whose first replies end half-way; server.ranges: whether it can resume."""

    def do_GET(self):
        name = self.path.lstrip("/").replace("%20", " ")
        server = self.server
        server.requests.append((name, self.headers.get("Range")))
        if name not in server.files:
            self.send_error(404)
            return
        data, begin = server.files[name], 0
        if server.ranges and self.headers.get("Range"):
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        rest = data[begin:]
        if server.cut.get(name, 0) > 0:
            server.cut[name] -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


class FetchAssets(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.folder.name) / "assets"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        draw = random.Random(1)
        self.server.files = {"a b.bin": draw.randbytes(200001), "one/two.bin": draw.randbytes(7), "big.bin": draw.randbytes(500000)}
        self.server.cut, self.server.ranges, self.server.requests = {}, True, []
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.right = dict(self.server.files)

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def fetch(self, *flags):
        files = [[name, len(data), hashlib.sha256(data).hexdigest()] for name, data in self.right.items()]
        address = f"http://127.0.0.1:{self.server.server_port}/"
        listing = pathlib.Path(self.folder.name) / "list.json"
        listing.write_text(json.dumps({"groups": [{"name": "test", "folder": "x", "address": address, "files": files}]}))
        command = [sys.executable, SCRIPT, self.out, "--list", listing, "--timeout", "1", *flags]
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)

    def check_whole(self):
        for name, data in self.right.items():
            self.assertEqual((self.out / "x" / name).read_bytes(), data)
        self.assertEqual(list(self.out.rglob("*.part")), [])
        self.assertTrue((self.out / ".complete").exists())

    def test_all_files_once(self):
        done = self.fetch()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("127.0.0.1", done.stderr)  # says from where before it does
        self.assertIn("0.7 MB", done.stderr)
        self.check_whole()
        self.server.requests.clear()
        self.assertEqual(self.fetch().returncode, 0)
        self.assertEqual(self.server.requests, [])  # all there: the network is left alone

    def test_goes_on_where_it_was_cut(self):
        self.server.cut = {"big.bin": 2}
        done = self.fetch()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_whole()
        ranges = [asked for name, asked in self.server.requests if name == "big.bin"]
        self.assertEqual(ranges, [None, "bytes=250000-", "bytes=375000-"])

    def test_goes_on_in_a_second_run(self):
        self.server.cut = {"big.bin": 1}
        failed = self.fetch("--attempts", "1")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("250000 of 500000 bytes", failed.stderr)
        self.assertFalse((self.out / ".complete").exists())
        self.assertFalse((self.out / "x" / "big.bin").exists())
        self.server.requests.clear()
        self.assertEqual(self.fetch().returncode, 0)
        self.check_whole()
        self.assertIn(("big.bin", "bytes=250000-"), self.server.requests)

    def test_server_that_cannot_resume(self):
        self.server.cut, self.server.ranges = {"big.bin": 1}, False
        self.assertEqual(self.fetch().returncode, 0)
        self.check_whole()

    def test_wrong_bytes_are_thrown_away(self):
        self.server.files["big.bin"] = bytes(500000)
        done = self.fetch()
        self.assertEqual(done.returncode, 1)
        self.assertIn("big.bin: its SHA-256 is not", done.stderr)
        self.assertFalse((self.out / "x" / "big.bin").exists())
        self.assertFalse((self.out / "x" / "big.bin.part").exists())
        self.server.files = dict(self.right)
        self.assertEqual(self.fetch().returncode, 0)
        self.check_whole()

    def test_too_long_too_short_missing(self):
        for data, words in ((bytes(500001), "more than the 500000 bytes"), (bytes(499999), "499999 of 500000"), (None, "404")):
            self.server.files["big.bin"] = data
            if data is None:
                del self.server.files["big.bin"]
            done = self.fetch("--attempts", "1")
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(words, done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()[-1].split("\n")), 1)
            self.assertFalse((self.out / ".complete").exists())
            (self.out / "x" / "big.bin.part").unlink(missing_ok=True)

    def test_damaged_file_comes_again(self):
        self.assertEqual(self.fetch().returncode, 0)
        (self.out / "x" / "big.bin").write_bytes(bytes(500000))
        self.assertEqual(self.fetch().returncode, 0)
        self.check_whole()

    def test_nobody_answers(self):
        self.server.shutdown()
        self.server.server_close()
        done = self.fetch("--attempts", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is there a network?", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_the_list_of_rook_itself(self):
        for group in json.loads((SCRIPT.parent / "assets.json").read_text())["groups"]:
            self.assertTrue(group["address"].startswith("https://") and group["address"].endswith("/"))
            for name, size, sha256 in group["files"]:
                self.assertGreater(size, 0)
                self.assertRegex(sha256, "^[0-9a-f]{64}$")
                self.assertNotIn("..", name)


if __name__ == "__main__":
    unittest.main()
