#!/usr/bin/env python3
"""Downloads the files that io/assets.json lists into a folder: chess photos, weights.

Each file comes from its address, is compared with its size and SHA-256, and gets its name only then; what is there already is
kept, and a download that was cut short goes on where it ended. Standard library only. `./run chess --download` calls this.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

LIST = pathlib.Path(__file__).resolve().parent / "assets.json"
STAMP = ".complete"      # lies in the folder once every file does
BLOCK = 1 << 16          # bytes read at once
WORKERS = 4


class Failed(Exception):
    """What is wrong with which file, in one line."""


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the files go")
    parser.add_argument("--list", type=pathlib.Path, default=LIST, help="what to download (default: io/assets.json)")
    parser.add_argument("--attempts", type=int, default=4, help="how often a file is tried (default: 4)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds without a byte that end an attempt (default: 30)")
    return parser.parse_args()


class Item:
    def __init__(self, group, entry, folder):
        name, self.size, self.sha256 = entry
        self.address = group["address"] + urllib.parse.quote(name)
        self.file = folder / group["folder"] / name
        self.part = self.file.with_name(self.file.name + ".part")

    def there(self):
        return self.file.is_file() and self.file.stat().st_size == self.size and digest(self.file) == self.sha256


def digest(file):
    total = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(BLOCK):
            total.update(block)
    return total.hexdigest()


class Meter:
    """Bytes of all files together, for someone who watches."""

    def __init__(self, total):
        self.total, self.done, self.shown, self.start = total, 0, time.monotonic(), time.monotonic()
        self.lock = threading.Lock()
        self.terminal = sys.stderr.isatty()

    def add(self, count):
        with self.lock:
            self.done += count
            now = time.monotonic()
            if now - self.shown < (0.2 if self.terminal else 5):
                return
            self.shown = now
            text = f"{self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB, {self.done / 1e6 / (now - self.start):.1f} MB/s"
            sys.stderr.write(f"\r{text}\x1b[K" if self.terminal else text + "\n")
            sys.stderr.flush()

    def end(self):
        if self.terminal:
            sys.stderr.write("\r\x1b[K")


def receive(item, timeout, meter):
    """One attempt. Leaves what has come in item.part."""
    begun = item.part.stat().st_size if item.part.exists() else 0
    if begun >= item.size:  # a part that is too long, or whole and wrong
        item.part.unlink()
        begun = 0
    request = urllib.request.Request(item.address, headers={"Range": f"bytes={begun}-"} if begun else {})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        goes_on = begun > 0 and reply.status == 206 and reply.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
        length = begun if goes_on else 0
        with open(item.part, "ab" if goes_on else "wb") as stream:
            while block := reply.read(BLOCK):
                length += len(block)
                if length > item.size:
                    raise Failed(f"{item.address}: sends more than the {item.size} bytes that are listed")
                stream.write(block)
                meter.add(len(block))
    if length < item.size:
        raise ConnectionError(f"ended after {length} of {item.size} bytes")


def fetch(item, options, meter, stopped):
    if item.there():
        return
    item.file.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(options.attempts):
        if stopped.is_set():
            return
        try:
            receive(item, options.timeout, meter)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise Failed(f"{item.address}: {error.code} {error.reason}") from None
            last = f"{error.code} {error.reason}"
        except (OSError, ConnectionError) as error:  # urllib's URLError is an OSError
            last = str(getattr(error, "reason", error))
        if attempt + 1 == options.attempts:
            raise Failed(f"{item.address}: {last}; is there a network? The same command goes on where this one ended")
        stopped.wait(min(2 ** attempt, 5) * (options.timeout / 30))
    if digest(item.part) != item.sha256:
        item.part.unlink()
        raise Failed(f"{item.address}: its SHA-256 is not the one that is listed; what came was thrown away")
    os.replace(item.part, item.file)


def announce(groups, folder):
    for group in groups:
        count, size = len(group["files"]), sum(entry[1] for entry in group["files"])
        files = f"{count} files, " if count > 1 else ""
        name = group["files"][0][0] if count == 1 else ""
        print(f"{group['name']}: {files}{size / 1e6:.1f} MB from {group['address']}{name}", file=sys.stderr)
    print(f"to {folder}, each compared with its size and SHA-256 in {LIST.name}", file=sys.stderr)


def main():
    options = parse()
    try:
        groups = json.loads(options.list.read_text())["groups"]
        items = [Item(group, entry, options.folder) for group in groups for entry in group["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{options.list}: cannot be read: {error}")
    announce(groups, options.folder)
    meter, stopped = Meter(sum(item.size for item in items)), threading.Event()
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            jobs = [pool.submit(fetch, item, options, meter, stopped) for item in items]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    job.result()
            finally:
                stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
        (options.folder / STAMP).write_text("")
    except Failed as error:
        meter.end()
        sys.exit(str(error))
    except OSError as error:
        meter.end()
        sys.exit(f"{options.folder}: cannot be written: {error}")
    except KeyboardInterrupt:
        meter.end()
        sys.exit("interrupted; the same command goes on where this one ended")
    meter.end()
    print(f"{len(items)} files are there", file=sys.stderr)


if __name__ == "__main__":
    main()
