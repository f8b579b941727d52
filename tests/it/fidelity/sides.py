"""The two sides of the comparison: the sandbox and moto, each behind boto3 with the official models.

A side records the outcome of every call by its case. What a sequence needs later it takes from the answers of its own
side. Parameters are not validated by boto3: malformed calls have to reach the server.
"""

import json
import urllib.request

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

QUERY = {"cloudwatch"}


class Side:
    """A server and what it answered."""

    def __init__(self, url, session, jump=None):
        self.url = url
        self.outcomes = {}
        # Where tasks run: the sandbox has one network and takes every name.
        self.subnet, self.security = "subnet-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60718"
        self._session = session
        self._clients = {}
        self._jump = jump

    def jump(self, by):
        """Lets time pass where time can be moved; the other side is where it will be at once."""
        if self._jump:
            self._jump(by)

    def client(self, service):
        if service not in self._clients:
            config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
            self._clients[service] = self._session.create_client(
                service,
                region_name="eu-west-1",
                endpoint_url=self.url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=config,
            )
        return self._clients[service]

    def call(self, case, service, operation, /, **given):
        """Asks, records, and gives the answer; that of a refused call is empty."""
        asked = (f"{service}:{operation}", case)
        assert asked not in self.outcomes, f"{asked} is there twice"
        status, code, body = self._ask(service, operation, given)
        self.outcomes[asked] = {"status": status, "code": code, "body": body}
        return body

    def _ask(self, service, operation, given):
        try:
            answer = getattr(self.client(service), xform_name(operation))(**given)
        except ClientError as error:
            code = error.response["Error"].get("Code") or "none"
            return error.response["ResponseMetadata"]["HTTPStatusCode"], code, {}
        return answer.pop("ResponseMetadata")["HTTPStatusCode"], None, answer


def session():
    """A session whose CloudWatch speaks awsQuery, the one of its protocols that moto has in full."""
    made = botocore.session.Session()
    loader = made.get_component("data_loader")
    load = loader.load_service_model

    def load_with_protocol(service, kind, api_version=None):
        model = load(service, kind, api_version)
        if kind == "service-2" and service in QUERY:
            model["metadata"].update(protocol="query", protocols=["query"])
        return model

    loader.load_service_model = load_with_protocol
    return made


def jumper(url):
    """Moves the sandbox's clock."""

    def jump(by):
        request = urllib.request.Request(url + "/_sandbox/clock", json.dumps({"jump": by}).encode())
        with urllib.request.urlopen(request):
            pass

    return jump


def pages(side, case, service, operation, token, send, /, **given):
    """Every page of a list, each as a case of its own."""
    answer = side.call(f"{case}, page 1", service, operation, **given)
    for number in range(2, 6):
        if token not in answer:
            return
        answer = side.call(f"{case}, page {number}", service, operation, **given, **{send: answer[token]})
    raise AssertionError(f"{operation} has no last page")
