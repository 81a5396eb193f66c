"""Opens the installed zae-limiter client, whichever version it is, on a table of its own making.

The address, region and credentials of the servers come from the environment, as for every client of AWS.
"""

import importlib.metadata
import os
import warnings

import boto3

# Later versions warn of the constructor, which is the only way to a table without CloudFormation.
warnings.simplefilter("ignore", DeprecationWarning)

from zae_limiter import Limit, SyncRateLimiter, SyncRepository  # noqa: E402

VERSION = importlib.metadata.version("zae-limiter")

# Version 0.9 has no namespaces.
HAS_NAMESPACES = hasattr(SyncRepository, "open")

# Buckets are split into shards from 0.10.1 on.
HAS_SHARDS = hasattr(SyncRepository, "bump_shard_count")

# Limits may follow a schedule, or be quotas that are reset, from 0.14 on.
HAS_SCHEDULES = hasattr(Limit, "quota")

TABLE = os.environ["TABLE_NAME"]


def create_table():
    """Creates the table by the client's own definition of it.

    That items expire is not in the definition, but in the template by which the client deploys it.
    """
    repository = SyncRepository(name=TABLE)
    repository.create_table()
    repository.close()
    boto3.client("dynamodb").update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )


class Client:
    """A limiter and its repository, for one namespace. It has caches of its own, as another process would."""

    def __init__(self, namespace, **options):
        if HAS_NAMESPACES:
            self.repository = SyncRepository.open(namespace, stack=TABLE, auto_update=False)
        else:
            self.repository = SyncRepository(name=TABLE)
        self.namespace = namespace
        self.limiter = SyncRateLimiter(repository=self.repository, **options)

    @property
    def admin(self):
        """What sets limits and reads usage: it moved when the namespaces came."""
        return self.repository if HAS_NAMESPACES else self.limiter
