"""Federated averaging the way Flower's NumPy strategies do it: client updates as lists of arrays, one per tensor.

  flower_aggregate.py [--clients 64] [--parameters 4884480] [--tensors 420] [--repeats 4]

running: each reply is scaled by its share and added to a running sum, tensor by tensor; legacy: all replies are scaled by their rows
first, then reduced, then divided by all rows. legacy64 is the same with rows that are double precision numbers, as they are where
they come from a NumPy array of doubles: its scaled replies are doubles.
Prints one JSON line: GB/s of updates read by each way, best of the repeats, and the peak memory of the process after each.
"""

import argparse
import functools
import json
import resource
import time

import numpy as np


def running(updates, rows):
    sums = [np.zeros_like(tensor) for tensor in updates[0]]
    for update, count in zip(updates, rows):
        share = count / sum(rows)
        for total, tensor in zip(sums, update):
            total += tensor * share
    return sums


def legacy(updates, rows):
    scaled = [[tensor * count for tensor in update] for update, count in zip(updates, rows)]
    return [functools.reduce(np.add, tensors) / sum(rows) for tensors in zip(*scaled)]


def legacy64(updates, rows):
    return legacy(updates, np.array(rows, dtype=np.float64))


def best_seconds(way, updates, rows, repeats):
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        way(updates, rows)
        best = min(best, time.perf_counter() - begin)
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--parameters", type=int, default=4_884_480)
    parser.add_argument("--tensors", type=int, default=420)
    parser.add_argument("--repeats", type=int, default=4)
    options = parser.parse_args()
    random = np.random.default_rng(7)
    length = options.parameters // options.tensors
    updates = [
        [random.standard_normal(length, dtype=np.float32) for _ in range(options.tensors)] for _ in range(options.clients)
    ]
    rows = [int(count) for count in random.integers(100, 2000, options.clients)]
    gigabytes = options.clients * options.tensors * length * 4 / 1e9
    report = {"clients": options.clients, "parameters": options.tensors * length}
    for way in (running, legacy, legacy64):
        report[f"{way.__name__}GBs"] = gigabytes / best_seconds(way, updates, rows, options.repeats)
        report[f"{way.__name__}PeakMiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(report))


if __name__ == "__main__":
    main()
