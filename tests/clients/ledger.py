"""What the traffic knows that it consumed, to be compared with what readers of usage are told."""

import threading
from collections import Counter


class Ledger:
    """Sums of tokens by scenario, namespace, entity, resource and limit. Threads may share one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sums = Counter()
        self.events = Counter()

    def consumed(self, scenario, client, entities, resource, amounts):
        """Each of the entities consumed these amounts: the one that asked, and its parent."""
        with self.lock:
            for entity in entities:
                for limit, tokens in amounts.items():
                    self.sums[scenario, client.namespace, entity, resource, limit] += tokens

    def happened(self, event):
        """Counts an event."""
        with self.lock:
            self.events[event] += 1

    def to_json(self):
        """The sums as rows, and the counts."""
        names = ("scenario", "namespace", "entity", "resource", "limit")
        with self.lock:
            rows = [dict(zip(names, key), tokens=tokens) for key, tokens in sorted(self.sums.items())]
            return {"consumed": rows, "events": dict(self.events)}
