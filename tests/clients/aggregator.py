"""Runs the Python aggregator that the installed version brings along, as AWS Lambda would, at given times.

On standard input: deliveries as JSON, each {"now": milliseconds, "request_id": ..., "event": ...}. Its settings are in
the environment, as in Lambda. Prints what the handler returned for each, as JSON; its log goes to standard error.
"""

import contextlib
import datetime
import json
import sys
import time

import boto3.session  # noqa: F401: loaded with the real clock

CLOCK = [0]


class Frozen(datetime.datetime):
    """A date and time that stands still."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(CLOCK[0] / 1000, tz)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)


class Context:
    """What Lambda says of an invocation."""

    function_name = "aggregator"

    def __init__(self, request_id):
        self.aws_request_id = request_id


def handler():
    """The handler, with a clock that is set by hand. It signs its requests by that clock too; nobody checks."""
    time.time = lambda: CLOCK[0] / 1000
    time.time_ns = lambda: CLOCK[0] * 1_000_000
    datetime.datetime = Frozen
    from zae_limiter_aggregator.handler import handler

    return handler


def main():
    deliveries = json.load(sys.stdin)
    answers = []
    with contextlib.redirect_stdout(sys.stderr):
        CLOCK[0] = deliveries[0]["now"] if deliveries else 0
        handle = handler()
        for delivery in deliveries:
            CLOCK[0] = delivery["now"]
            answers.append(handle(delivery["event"], Context(delivery["request_id"])))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
