"""Prints the audit events of namespaces as the client reads them, as JSON; then lets all of them expire.

    audit.py NAMESPACE ...
"""

import dataclasses
import json
import sys

import boto3
from limiter import HAS_NAMESPACES, TABLE, Client


def audit_items(table):
    """The keys and subjects of all audit events in the table."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    for page in pages:
        for item in page["Items"]:
            if item["SK"]["S"].startswith("#AUDIT#"):
                yield item["PK"]["S"], item["SK"]["S"], item["entity_id"]["S"]


def read(namespace, items):
    """The events of one namespace, through the client's own reader."""
    client = Client(namespace)
    identifier = client.repository.namespace_id if HAS_NAMESPACES else None
    prefix = f"{identifier}/AUDIT#" if identifier else "AUDIT#"
    for subject in sorted({subject for pk, _, subject in items if pk.startswith(prefix)}):
        for event in client.admin.get_audit_events(subject, limit=1000):
            yield {**dataclasses.asdict(event), "namespace": identifier}


def expire(items):
    """Sets the end of life of the events to the past, as if their days were over."""
    dynamodb = boto3.client("dynamodb")
    for pk, sk, _ in items:
        dynamodb.update_item(
            TableName=TABLE,
            Key={"PK": {"S": pk}, "SK": {"S": sk}},
            UpdateExpression="SET #ttl = :past",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":past": {"N": "1"}},
        )


def main():
    items = list(audit_items(TABLE))
    json.dump([event for namespace in sys.argv[1:] for event in read(namespace, items)], sys.stdout)
    expire(items)


if __name__ == "__main__":
    main()
