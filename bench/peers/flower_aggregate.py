"""Federated averaging the way Flower's NumPy strategies do it: client updates as lists of arrays, one per tensor.

  flower_aggregate.py [--clients 64] [--parameters 4884480] [--tensors 420] [--repeats 4]

running: each reply is scaled and added to a running sum, tensor by tensor; legacy: all replies are scaled first, then reduced.
Prints one JSON line: GB/s of updates read by each way, best of the repeats, and the peak memory of the process after each.
"""

import argparse
import functools
import json
import resource
import time

import numpy as np


def running(updates, shares):
    sums = [np.zeros_like(tensor) for tensor in updates[0]]
    for update, share in zip(updates, shares):
        for total, tensor in zip(sums, update):
            total += tensor * share
    return sums


def legacy(updates, shares):
    scaled = [[tensor * share for tensor in update] for update, share in zip(updates, shares)]
    return [functools.reduce(np.add, tensors) for tensors in zip(*scaled)]


def best_seconds(way, updates, shares, repeats):
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        way(updates, shares)
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
    rows = random.integers(100, 2000, options.clients)
    shares = (rows / rows.sum()).astype(np.float32)
    gigabytes = options.clients * options.tensors * length * 4 / 1e9
    report = {"clients": options.clients, "parameters": options.tensors * length}
    for way in (running, legacy):
        report[f"{way.__name__}GBs"] = gigabytes / best_seconds(way, updates, shares, options.repeats)
        report[f"{way.__name__}PeakMiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(report))


if __name__ == "__main__":
    main()
