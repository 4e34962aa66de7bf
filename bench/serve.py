#!/usr/bin/env python3
"""Times `rook serve` under load: many clients against one server, beside `rook bench net` on the same machine.

  python3 bench/serve.py --model runs/chess --photos chess-416 [--clients 16] [--requests 1000] [--kill] [--out FILE]

Photos are sent as they lie in the folder (searched for .jpg and .png); at the network's own size decoding costs little.
With --kill the server gets SIGTERM half-way: every request it took must be answered. Prints a line of JSON.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import threading
import time


def start(rook, model, more):
    server = subprocess.Popen([rook, "serve", "--model", model, "--port", "0", *more], stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        if found:
            return server, int(found.group(1))
    raise SystemExit("rook serve did not start")


class Load:
    """Clients that ask, one request after the other, until `requests` are answered or the server is gone."""

    def __init__(self, port, photos, clients, requests):
        self.port, self.photos, self.left = port, photos, requests
        self.lock = threading.Lock()
        self.seconds, self.statuses, self.unanswered, self.refused = [], {}, 0, 0
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(clients)]

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def client(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        at = number
        while self.take():
            at += 1
            begin = time.perf_counter()
            try:
                connection.request("POST", "/detect", self.photos[at % len(self.photos)])
            except OSError:  # not taken: the server is gone, or closed an idle connection
                with self.lock:
                    self.refused += 1
                return
            try:
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                with self.lock:
                    self.unanswered += 1
                return
            with self.lock:
                self.seconds.append(time.perf_counter() - begin)
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1

    def run(self, half_way=None):
        begin = time.perf_counter()
        goal = self.left // 2
        for thread in self.threads:
            thread.start()
        if half_way:
            while len(self.seconds) < goal:
                time.sleep(0.01)
            half_way()
        for thread in self.threads:
            thread.join()
        return time.perf_counter() - begin


def bench_net(rook, network, batch):
    text = subprocess.run([rook, "bench", "net", "--arch", network, "--batch", str(batch), "--json", "-"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return json.loads(text)["rows"][0]["images_per_s"]


def metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def resident(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rook", default="build/release/rook")
    parser.add_argument("--model", required=True)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--network", default="yolov4-tiny", help="what rook bench net times")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--out")
    o = parser.parse_args()
    files = sorted(p for p in pathlib.Path(o.photos).rglob("*") if p.suffix in (".jpg", ".png"))
    photos = [p.read_bytes() for p in files[:64]]
    if not photos:
        raise SystemExit(f"{o.photos}: holds no photos")
    result = {"clients": o.clients, "batch": o.batch, "photo_bytes": round(statistics.mean(map(len, photos)))}
    if not o.kill:
        result["bench_net_batch_1"] = bench_net(o.rook, o.network, 1)
        result["bench_net"] = bench_net(o.rook, o.network, o.batch)
    server, port = start(o.rook, o.model, ["--batch", str(o.batch)])
    try:
        Load(port, photos, o.clients, 2 * o.clients).run()  # untimed
        before = resident(server.pid)
        load = Load(port, photos, o.clients, o.requests)
        seconds = load.run((lambda: server.send_signal(signal.SIGTERM)) if o.kill else None)
        if not o.kill:
            m = metrics(port)
            result["photos_per_pass"] = m["rook_batch_photos_sum"] / m["rook_batch_photos_count"]
            result["ms_per_photo_in_passes"] = 1e3 * m["rook_batch_seconds_sum"] / m["rook_photos_total"]
            result["memory_growth_bytes"] = resident(server.pid) - before
            server.send_signal(signal.SIGTERM)
        result["server_status"] = server.wait(timeout=60)
    finally:
        server.kill()
    ordered = sorted(load.seconds)
    result.update(answered=len(ordered), statuses=load.statuses, unanswered=load.unanswered, refused=load.refused,
                  photos_per_s=len(ordered) / seconds, p50_ms=1e3 * ordered[len(ordered) // 2],
                  p99_ms=1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))])
    print(json.dumps(result))
    if o.out:
        pathlib.Path(o.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
