"""Plays traffic with the real client, in rounds, and says after each what has been consumed so far.

    traffic.py ROUNDS VOLUME [SCENARIO ...]

After each round it prints its ledger as one line of JSON, and waits for a line on standard input before the next.
VOLUME is the number of acquires of each scenario in a round.
"""

import json
import sys
import threading
import time
from datetime import timedelta

from ledger import Ledger
from limiter import HAS_NAMESPACES, HAS_SCHEDULES, HAS_SHARDS, VERSION, Client, create_table
from zae_limiter import Limit, RateLimitExceeded
from zae_limiter.exceptions import InvalidNameError

AMPLE = [Limit.per_minute("rpm", 1_000_000), Limit.per_minute("tpm", 100_000_000)]

# How long a request waits for tokens, in all.
PATIENCE_S = 30

# How a client refuses. Where it is a parent that has no tokens left, 0.10.3 gives the child's tokens back and then
# stumbles over the name of its own limit `wcu` while it says so.
REFUSALS = (RateLimitExceeded, InvalidNameError)

SCENARIOS = {}


def scenario(function):
    """A scenario is a function of the play and the round. It is known by its name."""
    SCENARIOS[function.__name__] = function
    return function


class GaveUp(Exception):
    """What the work that a lease was for fails with."""


class Play:
    def __init__(self, volume):
        self.volume = volume
        self.ledger = Ledger()
        self.first = Client("first")
        self.second = Client("second") if HAS_NAMESPACES else None

    def acquire(self, entity, resource, consume, *, parent=None, client=None, then=None, scenario):
        """Acquires, changes the lease by `then`, and enters what it came to into the ledger.

        `then` gets the lease, and returns by how much it changed it. It may raise GaveUp.
        """
        client = client or self.first
        entities = [entity, parent] if parent else [entity]
        self.ledger.happened("acquires")
        try:
            with client.limiter.acquire(entity, resource, consume) as lease:
                changes = then(lease) if then else {}
        except REFUSALS:
            self.ledger.happened("refused")
            return False
        except GaveUp:
            self.ledger.happened("rolled back")
            return False
        amounts = {name: tokens + changes.get(name, 0) for name, tokens in consume.items()}
        self.ledger.consumed(scenario, client, entities, resource, amounts)
        return True


def prepare(play):
    """Entities and limits. All of it leaves audit events."""
    play.first.admin.set_system_defaults(AMPLE)
    create = play.first.admin.create_entity
    create("team", name="Team", metadata={"city": "Łódź", "note": 'a "quoted" line\nand another'})
    for name in ("app-1", "app-2"):
        create(name, name=name, parent_id="team", cascade=True)
    create("strict-team", name="Strict team")
    create("strict-app", parent_id="strict-team", cascade=True)
    play.first.admin.set_limits("strict-team", [Limit.per_day("rpm", 5), Limit.per_day("tpm", 1_000_000)])
    play.first.admin.set_limits("frugal", [Limit.per_day("rpm", 7), Limit.per_day("tpm", 7_000)])
    # About three quarters of this is consumed in a round: the next would not find enough.
    play.first.admin.set_limits(
        "drinker", [Limit.per_minute("rpm", 50 * play.volume), Limit.per_minute("tpm", 130 * play.volume)]
    )
    play.first.admin.set_limits(
        "busy", [Limit.per_minute("rpm", 400 * play.volume), Limit.per_minute("tpm", 120 * play.volume)]
    )
    play.first.admin.set_limits("sleeper", [Limit.per_day("rpm", 1_000_000)])
    play.first.admin.set_resource_defaults("openai/gpt-4o", AMPLE)
    play.first.admin.set_resource_defaults("per-second", [Limit.per_second("rps", 15)])
    # A bucket of these limits expires two seconds after it is made.
    play.first.admin.set_resource_defaults(
        "short-lived", [Limit.custom("calls", capacity=60, refill_amount=200, refill_period_seconds=1)]
    )
    create("busy", name="busy")
    create("leaver")
    play.first.admin.set_limits("leaver", AMPLE, resource="openai/gpt-4o")
    play.first.admin.delete_limits("leaver", resource="openai/gpt-4o")
    play.first.admin.delete_entity("leaver")
    if play.second:
        play.second.admin.set_system_defaults(AMPLE)


@scenario
def steady(play, round):
    for i in range(play.volume):
        play.acquire("user-1", "gpt-4", {"rpm": 1, "tpm": 100 + i}, scenario="steady")


@scenario
def cascade(play, round):
    """What a child consumes its parent consumes too."""
    for i in range(play.volume):
        child = ("app-1", "app-2")[i % 2]
        play.acquire(child, "gpt-4", {"rpm": 1, "tpm": 50 + i}, parent="team", scenario="cascade")


@scenario
def adjusted(play, round):
    """An estimate is corrected, up and down, when the work is done; child and parent alike."""

    def up(lease):
        lease.consume(tpm=40)
        lease.adjust(tpm=60)
        return {"tpm": 100}

    def down(lease):
        lease.release(tpm=30)
        lease.adjust(tpm=-20, rpm=-1)
        return {"tpm": -50, "rpm": -1}

    for i in range(play.volume):
        then = (up, down)[i % 2]
        play.acquire("adjuster", "gpt-4", {"rpm": 2, "tpm": 500}, then=then, scenario="adjusted")
        play.acquire(
            "app-1", "embeddings", {"rpm": 2, "tpm": 500}, parent="team", then=then, scenario="adjusted"
        )


@scenario
def rolled_back(play, round):
    """Work that fails gives back all that it took."""

    def fail(lease):
        lease.adjust(tpm=11)
        raise GaveUp

    for i in range(play.volume):
        then = fail if i % 2 else None
        play.acquire("unlucky", "gpt-4", {"rpm": 1, "tpm": 70}, then=then, scenario="rolled_back")
        play.acquire(
            "app-2", "rerank", {"rpm": 1, "tpm": 70}, parent="team", then=then, scenario="rolled_back"
        )


@scenario
def refused(play, round):
    """Who has no tokens left consumes none; a child neither, if it is its parent who has none."""
    for _ in range(play.volume):
        play.acquire("frugal", "gpt-4", {"rpm": 1, "tpm": 10}, scenario="refused")
        play.acquire(
            "strict-app", "gpt-4", {"rpm": 1, "tpm": 10}, parent="strict-team", scenario="refused"
        )


@scenario
def resources(play, round):
    names = ("gpt-4", "openai/gpt-4o", "anthropic/claude/sonnet", "v1.embed_large-2")
    for i in range(play.volume):
        consume = {"rpm": 1, "tpm": 10 * i} if i % 3 else {"tpm": 7}
        play.acquire("multi:a.b-c@d_e", names[i % len(names)], consume, scenario="resources")


@scenario
def refilled(play, round):
    """More than a bucket holds: the slow path refills it, and requests wait."""
    deadline = time.monotonic() + PATIENCE_S
    for _ in range(play.volume):
        while not play.acquire("waiter", "per-second", {"rps": 2}, scenario="refilled"):
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)


@scenario
def drained(play, round):
    """Most of what a bucket holds, of one limit out of two, so that it is refilled for the round to come."""
    for _ in range(play.volume):
        play.acquire("drinker", "gpt-4", {"rpm": 1, "tpm": 100}, scenario="drained")


@scenario
def sleeping(play, round):
    """A bucket that was refilled two hours ago, and has had tokens enough since."""
    if round == 0:
        clock = time.time
        time.time = lambda: clock() - 7200
        play.acquire("sleeper", "gpt-4", {"rpm": 5}, scenario="sleeping")
        time.time = clock
    for _ in range(play.volume):
        play.acquire("sleeper", "gpt-4", {"rpm": 2}, scenario="sleeping")


@scenario
def slow_path(play, round):
    """Without speculation each request reads the bucket and writes it under a condition."""
    client = Client("first", speculative_writes=False)
    for i in range(play.volume):
        play.acquire("careful", "gpt-4", {"rpm": 1, "tpm": 30 + i}, client=client, scenario="slow_path")
        play.acquire(
            "app-1", "slow", {"rpm": 1, "tpm": 20}, parent="team", client=client, scenario="slow_path"
        )


@scenario
def contended(play, round):
    """Four clients at once, two of them on the slow path: conditions fail, and are tried again."""

    def work(speculative, tokens):
        client = Client("first", speculative_writes=speculative)
        for _ in range(play.volume):
            play.acquire("crowd", "gpt-4", {"rpm": 1, "tpm": tokens}, client=client, scenario="contended")

    in_threads([lambda i=i: work(i % 2 == 0, 10 + i) for i in range(4)])


@scenario
def short_lived(play, round):
    """A bucket expires, and is made anew by the next request. A round lasts longer than it lives."""
    for _ in range(min(play.volume, 20)):
        play.acquire("guest", "short-lived", {"calls": 3}, scenario="short_lived")


@scenario
def new_limit(play, round):
    """In the second round the entity gets another limit, in the third that is dropped.

    Before 0.17 a client never takes a new limit into a bucket that it has: such requests are refused.
    """
    limits = [Limit.per_day("rpm", 100_000)]
    if round == 1:
        limits.append(Limit.per_day("images", 100_000))
    if round < 3:
        play.first.admin.set_limits("grower", limits)
    for _ in range(play.volume):
        play.acquire("grower", "gpt-4", {limit.name: 4 for limit in limits}, scenario="new_limit")


@scenario
def namespaces(play, round):
    """The same entity and resource in another namespace has a bucket and usage of its own."""
    for i in range(play.volume if play.second else 0):
        play.acquire("user-1", "gpt-4", {"rpm": 2, "tpm": 9}, client=play.second, scenario="namespaces")
        play.acquire("user-1", "gpt-4", {"rpm": 1, "tpm": 1}, scenario="steady")


@scenario
def hot(play, round):
    """A bucket is split in two after the first round and in four after the second. Four clients write to it."""
    if not HAS_SHARDS:
        return

    def work(tokens):
        client = Client("first")
        for _ in range(2 * play.volume):
            play.acquire("busy", "gpt-4", {"rpm": 1, "tpm": tokens}, client=client, scenario="hot")

    in_threads([lambda i=i: work(10 + i) for i in range(4)])
    if round < 2:
        count = play.first.repository.bump_shard_count("busy", "gpt-4", 2**round)
        assert count == 2 ** (round + 1), count


@scenario
def split(play, round):
    """A bucket with tokens enough is split in two after the first round."""
    if not HAS_SHARDS:
        return
    client = Client("first")
    for _ in range(play.volume):
        play.acquire("lively", "gpt-4", {"rpm": 1, "tpm": 3}, client=client, scenario="split")
    if round == 0:
        play.first.repository.bump_shard_count("lively", "gpt-4", 1)


@scenario
def scheduled(play, round):
    """Limits that halve by a schedule, quotas that are reset at midnight or five hours after the first use."""
    if not HAS_SCHEDULES:
        return
    from zae_limiter import ScheduleEntry

    rate = Limit.per_minute("rpm", 20)
    kinds = {
        "paced": [rate.with_schedule((ScheduleEntry("* * * * *", scale=0.5),))],
        "daily-quota": [rate, Limit.quota("calls", 100_000, cron="0 0 * * *")],
        "session-quota": [rate, Limit.quota("calls", 100_000, reset_after=timedelta(hours=5))],
    }
    if round == 0:
        # The client stores the last kind only where a deployed aggregator is on record that knows of it.
        repository = play.first.repository
        schema = repository.get_version_record()["schema_version"]
        repository.set_version_record(schema, lambda_version=VERSION)
    for entity, limits in kinds.items():
        if round == 0:
            play.first.admin.set_limits(entity, limits)
        for _ in range(play.volume):
            consume = {limit.name: 3 for limit in limits}
            play.acquire(entity, "gpt-4", consume, scenario="scheduled")


def in_threads(tasks):
    failures = []

    def run(task):
        try:
            task()
        except Exception as failure:  # noqa: BLE001: told below, by the thread that waits
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def main():
    rounds, volume = int(sys.argv[1]), int(sys.argv[2])
    names = sys.argv[3:] or list(SCENARIOS)
    create_table()
    play = Play(volume)
    prepare(play)
    for round in range(rounds):
        for name in names:
            SCENARIOS[name](play, round)
        print(json.dumps({"version": VERSION, "round": round, **play.ledger.to_json()}), flush=True)
        if round + 1 < rounds:
            sys.stdin.readline()


if __name__ == "__main__":
    main()
