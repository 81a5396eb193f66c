"""Reads usage through the client's own readers and prints what they say, as JSON.

On standard input: the namespace, entity and resource of each bucket to be asked for, as JSON rows.
"""

import json
import os
import subprocess
import sys

from limiter import HAS_NAMESPACES, TABLE, Client

WINDOWS = ("hourly", "daily")

# What the command line is asked for, of all that is asked for: each call takes a second.
BY_COMMAND = 2


def snapshots(client, **query):
    """All pages, in small ones."""
    found, key = [], None
    while True:
        page, key = client.admin.get_usage_snapshots(limit=7, next_key=key, **query)
        found += page
        if key is None:
            return found


def to_json(snapshot):
    return {
        "entity": snapshot.entity_id,
        "resource": snapshot.resource,
        "window": snapshot.window_type,
        "start": snapshot.window_start,
        "end": snapshot.window_end,
        "counters": snapshot.counters,
        "events": snapshot.total_events,
    }


def summary(client, window, **query):
    found = client.admin.get_usage_summary(window_type=window, **query)
    return {"window": window, "snapshots": found.snapshot_count, "counters": found.total}


def command(verb, namespace, entity, resource, window):
    """What `zae-limiter usage` prints."""
    program = os.path.join(os.path.dirname(sys.executable), "zae-limiter")
    arguments = ["-n", TABLE, "-e", entity, "-r", resource, "-w", window]
    arguments += ["-N", namespace] if HAS_NAMESPACES else []
    run = subprocess.run([program, "usage", verb, *arguments], capture_output=True, text=True, check=False)
    return {"code": run.returncode, "out": run.stdout, "err": run.stderr}


def main():
    clients, answers = {}, []
    for place, row in enumerate(json.load(sys.stdin)):
        namespace, entity, resource = row["namespace"], row["entity"], row["resource"]
        client = clients.setdefault(namespace, Client(namespace))
        answer = dict(row)
        answer["snapshots"] = [to_json(s) for s in snapshots(client, entity_id=entity, resource=resource)]
        by_resource = snapshots(client, resource=resource)
        answer["by_resource"] = [to_json(s) for s in by_resource if s.entity_id == entity]
        answer["summaries"] = [
            summary(client, window, entity_id=entity, resource=resource) for window in WINDOWS
        ]
        if place < BY_COMMAND:
            answer["commands"] = {
                verb: command(verb, namespace, entity, resource, "hourly") for verb in ("list", "summary")
            }
        answers.append(answer)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
