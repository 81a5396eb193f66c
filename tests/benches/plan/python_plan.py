# Plans events with the Python aggregator, whose table answers at once, and says what each took.
#
# Standard input: a line "<times> <file>" for each sample. Standard output: "<wall nanoseconds> <processor nanoseconds>"
# of one plan, on average. What the handler prints goes nowhere.
import json
import os
import sys
import time
import types

import boto3

answers = os.fdopen(os.dup(1), "w", buffering=1)
sys.stdout = open(os.devnull, "w")
sys.stderr = sys.stdout


class Stub:
    """A table, a client, or what makes them: every call is answered by {} or another of these."""

    def __getattr__(self, name):
        call = make if name in ("Table", "client", "resource", "get_paginator") else answer
        setattr(self, name, call)
        return call


CALLS = [0]


def make(*_args, **_names):
    return Stub()


def answer(*_args, **_names):
    CALLS[0] += 1
    return {}


boto3.client = boto3.resource = make
os.environ.update(TABLE_NAME="limiter", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
# The moment at which Weir plans them, so that both find the same buckets in need of tokens.
time.time = lambda: 1_704_110_460.0
from zae_limiter_aggregator.handler import handler

context = types.SimpleNamespace(function_name="aggregator", aws_request_id="11111111-2222-3333-4444-555555555555")


def plan(event):
    result = handler(json.loads(event), context)
    errors = result.get("body", {}).get("errors") if isinstance(result.get("body"), dict) else None
    if errors or result.get("batchItemFailures"):
        raise SystemExit(f"the aggregator failed: {result}")


files = {}
for line in sys.stdin:
    times, path = line.split(maxsplit=1)
    path = path.strip()
    if path not in files:
        with open(path, "rb") as file:
            files[path] = file.read()
        CALLS[0] = 0
        plan(files[path])
        print(CALLS[0], file=answers)
        continue
    times = int(times)
    wall, processor = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(times):
        plan(files[path])
    wall, processor = time.perf_counter_ns() - wall, time.process_time_ns() - processor
    print(wall // times, processor // times, file=answers)
