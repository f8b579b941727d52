"""Asks the sandbox and moto the same things and writes what differs, as JSON, to standard output.

Called by the test with the sandbox's address. moto serves from this process, over HTTP on a loopback port of its own.
"""

import importlib
import json
import logging
import os
import sys

import modelcheck
from botocore import xform_name
from moto.server import ThreadedMotoServer

import balancing
import containers
import databases
import deployments
import metrics
import parameters
import sides
from differ import differences
from prepare import prepare

SEQUENCES = [
    parameters.parameters,
    parameters.secrets,
    parameters.identity,
    containers.task_definitions,
    containers.services,
    containers.tasks,
    balancing.balancing,
    databases.databases,
    deployments.deployments,
    metrics.metrics,
]


def ask(url):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        checked = sides.session()
        modelcheck.attach(checked.get_component("event_emitter"))
        sandbox = sides.Side(url, checked, sides.jumper(url))
        host, port = server.get_host_and_port()
        moto = sides.Side(f"http://{host}:{port}", sides.session())
        prepare(moto)
        for side in (sandbox, moto):
            for sequence in SEQUENCES:
                sequence(side)
        return sandbox, moto
    finally:
        server.stop()


def lacking(operations):
    """Those of the operations that moto's own code does not have."""
    return [name for name in operations if not has(*name.split(":"))]


def has(service, operation):
    module = importlib.import_module(f"moto.{service}.responses")
    answering = [
        kind for name, kind in vars(module).items() if name.endswith("Response") and isinstance(kind, type)
    ]
    return any(
        hasattr(kind, xform_name(operation)) for kind in answering if kind.__module__ == module.__name__
    )


# As the ledger calls them.
PROTOCOLS = {"json": "awsJson", "query": "awsQuery", "smithy-rpc-v2-cbor": "rpcv2Cbor"}


def protocols(operations):
    loaded = sides.botocore.session.Session()
    spoken = {}
    for name in operations:
        service, operation = name.split(":")
        model = loaded.get_service_model(service)
        assert operation in model.operation_names, f"{name} is in no model"
        spoken[name] = [PROTOCOLS[protocol] for protocol in model.metadata["protocols"]]
    return spoken


def findings():
    """What the official models do not allow in the sandbox's responses."""
    with open(os.environ["MODELCHECK"], encoding="utf-8") as lines:
        checked = [json.loads(line) for line in lines]
    return [f"{one['operation']}: {finding}" for one in checked for finding in one["findings"]]


def compared(sandbox, moto, both):
    """Every difference, as the test reads it."""
    for asked in both:
        operation, case = asked
        for at, ours, theirs in differences(sandbox.outcomes[asked], moto.outcomes[asked]):
            yield {"operation": operation, "case": case, "at": at, "sandbox": ours, "moto": theirs}


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    url, operations = sys.argv[1], sys.argv[2].split(",")
    sandbox, moto = ask(url)
    # A page that only one side has is told by the token of the page before.
    both = [asked for asked in sandbox.outcomes if asked in moto.outcomes]
    report = {
        "calls": len(both),
        "compared": sorted({operation for operation, _ in sandbox.outcomes}),
        "differences": list(compared(sandbox, moto, both)),
        "lacking": lacking(operations),
        "protocols": protocols(operations),
        "findings": findings(),
    }
    json.dump(report, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
