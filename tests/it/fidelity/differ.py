"""Where two outcomes of the same call differ.

Identifiers, times and what belongs to one account's network are not compared by value: only that they are there and what
type they have.
"""

import datetime
import json
import re

# Members whose values are an account's, a moment's or a server's own.
OPAQUE = set("""
    Account Address Arn AvailabilityZone AvailabilityZones CanonicalHostedZoneId DBSubnetGroup DNSName DbiResourceId
    HostedZoneId Marker NextToken SecurityGroups UserId VpcId VpcSecurityGroups awsvpcConfiguration nextToken
    requiresAttributes
    """.split())

IDENTIFIERS = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\bd-[0-9A-Z]{9}\b"), "<id>"),
    (re.compile(r"ecs-svc/[0-9]+"), "ecs-svc/<id>"),
    # Not the twelve digits of an account, which both have alike.
    (re.compile(r"(?<=[/:])(?![0-9]{12}\b)[0-9a-f]{8,32}\b"), "<id>"),
    (re.compile(r"^[0-9a-f]{16,32}$"), "<id>"),
    (re.compile(r"(?<=:secret:)(.+)-[A-Za-z0-9]{6}$"), r"\1-<id>"),
]


def differences(sandbox, moto):
    """`(where, at the sandbox, at moto)` of two recorded outcomes."""
    if summary(sandbox) != summary(moto):
        return [("outcome", summary(sandbox), summary(moto))]
    found = []
    compare(sandbox["body"], moto["body"], "", found)
    return found


def summary(outcome):
    status, code = str(outcome["status"]), outcome["code"]
    # A server's own failure has no code of AWS: boto3 puts the status in its place.
    return status if code in (None, status) else f"{status} {code}"


def compare(left, right, path, found):
    if isinstance(left, dict) and isinstance(right, dict):
        members(left, right, path, found)
    elif isinstance(left, list) and isinstance(right, list):
        items(left, right, path, found)
    elif told(left) != told(right):
        found.append((path, told(left), told(right)))


def members(left, right, path, found):
    left, right = ({normal(key): value for key, value in side.items()} for side in (left, right))
    for member in [*left, *(member for member in right if member not in left)]:
        place = f"{path}.{member}" if path else member
        if member not in left:
            found.append((place, "absent", "present"))
        elif member not in right:
            found.append((place, "present", "absent"))
        elif member in OPAQUE:
            if kind(left[member]) != kind(right[member]):
                found.append((place, kind(left[member]), kind(right[member])))
        else:
            compare(left[member], right[member], place, found)


def items(left, right, path, found):
    if pairs(left) and pairs(right):
        members(by_key(left), by_key(right), path, found)
        return
    if len(left) != len(right):
        found.append((path, f"{len(left)} items", f"{len(right)} items"))
    names = [[name(item) for item in side] for side in (left, right)]
    if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
        found.append((path, "one order", "another order"))
        right = sorted(right, key=lambda item: names[0].index(name(item)))
    for both in zip(left, right):
        compare(*both, f"{path}[]", found)


def pairs(items):
    """Tags and attributes, which have no order."""
    return all(isinstance(item, dict) and {key.lower() for key in item} == {"key", "value"} for item in items)


def by_key(items):
    lower = [{key.lower(): value for key, value in item.items()} for item in items]
    return {item["key"]: item["value"] for item in lower}


def name(item):
    """What an item of a list is known by."""
    if isinstance(item, dict):
        known = [key for key in item if key.lower() in ("name", "dbinstanceidentifier")]
        return str(item[known[0]]) if known else ""
    return normal(str(item))


def kind(value):
    return type(value).__name__


def normal(text):
    for pattern, instead in IDENTIFIERS:
        text = pattern.sub(instead, text)
    return text


def told(value):
    """A scalar as the ledger writes it."""
    if isinstance(value, datetime.datetime):
        return "a time"
    if isinstance(value, str):
        value = normal(value)
    return json.dumps(value, default=repr) if not isinstance(value, (dict, list)) else kind(value)
