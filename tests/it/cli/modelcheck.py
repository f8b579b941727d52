"""Holds every raw response that botocore receives against the service's own model.

As a plugin of the AWS CLI (`[plugins]` in its configuration) or on any botocore session: `attach`. One JSON line for each
response goes to the file that MODELCHECK names, with what the model does not allow: members and enum values it does not
have, values of another type, missing required members, and error codes that neither the operation nor the service's
protocol knows. botocore itself forgives all of that, so the bodies are read here and not by its parsers.
"""

import json
import os
import xml.etree.ElementTree as xml

# Codes that any operation may answer, by protocol. Source: the services' pages "Common Errors".
COMMON = {
    "json": {"ValidationException", "SerializationException", "UnknownOperationException", "ThrottlingException"},
    "query": {"ValidationError", "InvalidAction", "InvalidParameterValue", "MissingParameter", "Throttling"},
}
NUMBERS = {"float", "double"}
WHOLES = {"integer", "long"}


def awscli_initialize(emitter):
    attach(emitter)


def attach(emitter):
    emitter.register("before-parse", check)


def check(operation_model, response_dict, **_):
    service = operation_model.service_model
    protocol = service.resolved_protocol
    findings = []
    code = None
    if response_dict["status_code"] >= 300:
        code = check_error(operation_model, protocol, response_dict, findings)
    elif protocol == "query":
        check_query(operation_model, response_dict["body"], findings)
    else:
        output = operation_model.output_shape
        value = decode(protocol, response_dict["body"])
        if output is not None:
            check_value(output, value, output.name, findings)
        elif value:
            findings.append(f"{operation_model.name}: {sorted(value)} in an output that has no members")
    line = {
        "operation": f"{service.service_name}:{operation_model.name}",
        "protocol": protocol,
        "status": response_dict["status_code"],
        "code": code,
        "findings": findings,
    }
    with open(os.environ["MODELCHECK"], "a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def decode(protocol, body):
    if protocol == "json":
        return json.loads(body)
    from botocore.parsers import RpcV2CBORParser

    parser = RpcV2CBORParser()
    return parser.parse_data_item(parser.get_peekable_stream_from_bytes(body))


def check_value(shape, value, path, findings):
    """A value of JSON or CBOR."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            findings.append(f"{path}: {value!r} is no structure")
            return
        names = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        check_names(shape, set(value), path, findings)
        for name in value.keys() & names.keys():
            check_value(names[name], value[name], f"{path}.{name}", findings)
    elif kind == "list":
        if not isinstance(value, list):
            findings.append(f"{path}: {value!r} is no list")
            return
        for item in value:
            check_value(shape.member, item, f"{path}[]", findings)
    elif kind == "map":
        if not isinstance(value, dict):
            findings.append(f"{path}: {value!r} is no map")
            return
        for key, item in value.items():
            check_value(shape.key, key, f"{path} key", findings)
            check_value(shape.value, item, f"{path}[{key}]", findings)
    else:
        check_scalar(shape, value, path, findings)


def check_scalar(shape, value, path, findings):
    kind = shape.type_name
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "character": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": number and isinstance(value, int),
        "long": number and isinstance(value, int),
        "float": number,
        "double": number,
        # JSON writes epoch seconds; a CBOR tag 1 was made a datetime by the parser.
        "timestamp": number or hasattr(value, "isoformat"),
        "blob": isinstance(value, (str, bytes)),
    }[kind]
    if not fits:
        findings.append(f"{path}: {value!r} is no {kind}")
    elif kind == "string":
        check_enum(shape, value, path, findings)


def check_enum(shape, value, path, findings):
    if shape.enum and value not in shape.enum:
        findings.append(f"{path}: {value!r} is none of {shape.enum}")


def check_names(shape, present, path, findings):
    names = {name: member.serialization.get("name", name) for name, member in shape.members.items()}
    for foreign in sorted(present - set(names.values())):
        findings.append(f"{path}.{foreign}: {shape.name} has no such member")
    for required in shape.required_members:
        if names[required] not in present:
            findings.append(f"{path}.{required}: missing, and required")


def plain(element):
    return element.tag.rsplit("}", 1)[-1]


def check_query(operation_model, body, findings):
    root = xml.fromstring(body)
    name, output = operation_model.name, operation_model.output_shape
    version = operation_model.service_model.api_version
    if not root.tag.endswith(f"/doc/{version}/}}{name}Response"):
        findings.append(f"the root element is {root.tag}")
    parts = {plain(part): part for part in root}
    if "RequestId" not in [plain(part) for part in parts.pop("ResponseMetadata", [])]:
        findings.append("there is no RequestId in ResponseMetadata")
    wrapper = output.serialization.get("resultWrapper") if output is not None else f"{name}Result"
    result = parts.pop(wrapper, None)
    findings.extend(f"{part}: no such part of a response" for part in parts)
    if output is None:
        findings.extend(f"{plain(part)} in an output that has no members" for part in result or [])
    elif result is None:
        findings.append(f"there is no {wrapper}")
    else:
        check_element(output, result, output.name, findings)


def check_element(shape, element, path, findings):
    """An element of awsQuery's XML."""
    kind = shape.type_name
    children = list(element)
    if kind == "structure":
        names = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        check_names(shape, {plain(child) for child in children}, path, findings)
        for child in children:
            if plain(child) in names:
                check_element(names[plain(child)], child, f"{path}.{plain(child)}", findings)
    elif kind == "list":
        item = shape.member.serialization.get("name", "member")
        for child in children:
            if plain(child) != item:
                findings.append(f"{path}: an item is called {plain(child)} and not {item}")
            check_element(shape.member, child, f"{path}[]", findings)
    elif kind == "map":
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        for entry in children:
            parts = {plain(part): part for part in entry}
            if plain(entry) != "entry" or set(parts) != {key_name, value_name}:
                findings.append(f"{path}: an entry of a map is {plain(entry)} with {sorted(parts)}")
                continue
            check_element(shape.value, parts[value_name], f"{path}[{parts[key_name].text}]", findings)
    elif children:
        findings.append(f"{path}: {plain(children[0])} inside a {kind}")
    else:
        check_text(shape, element.text or "", path, findings)


def check_text(shape, text, path, findings):
    kind = shape.type_name
    try:
        if kind in WHOLES:
            int(text)
        elif kind in NUMBERS:
            float(text)
        elif kind == "boolean" and text not in ("true", "false"):
            raise ValueError
        elif kind == "timestamp":
            import datetime

            datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
        elif kind == "string":
            check_enum(shape, text, path, findings)
    except ValueError:
        findings.append(f"{path}: {text!r} is no {kind}")


def check_error(operation_model, protocol, response_dict, findings):
    """The code that clients see; what is wrong with the error goes to the findings."""
    shapes = operation_model.error_shapes
    codes = {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}
    if protocol == "query":
        root = xml.fromstring(response_dict["body"])
        parts = {plain(part): part for part in root}
        members = {plain(part): part.text for part in parts.get("Error", [])}
        if plain(root) != "ErrorResponse" or set(parts) != {"Error", "RequestId"}:
            findings.append(f"an error is {plain(root)} with {sorted(parts)}")
        code, foreign = members.get("Code"), set(members) - {"Type", "Code", "Message", "Detail"}
        common = COMMON["query"]
    else:
        body = decode(protocol, response_dict["body"])
        code = body.get("__type", "").rsplit("#", 1)[-1]
        foreign = set(body) - {"__type", "message", "Message"}
        common = COMMON["json"]
        if operation_model.service_model.is_query_compatible:
            # The body names the shape; the code of the query days stands in a header.
            known = {shape.name for shape in shapes} | common
            if code not in known:
                findings.append(f"__type {code}: no error of {operation_model.name}")
            header = response_dict["headers"].get("x-amzn-query-error", "")
            code, fault = header.split(";") if header.count(";") == 1 else (header, "")
            common = COMMON["query"]
            if fault not in ("Sender", "Receiver"):
                findings.append(f"x-amzn-query-error: {header!r}")
    findings.extend(f"an error has the member {name}" for name in sorted(foreign))
    if code not in codes | common:
        findings.append(f"{code}: no error of {operation_model.name}, which has {sorted(codes)}")
    for shape in shapes:
        status = shape.metadata.get("error", {}).get("httpStatusCode")
        if shape.metadata.get("error", {}).get("code", shape.name) == code and status:
            if status != response_dict["status_code"]:
                findings.append(f"{code}: HTTP {response_dict['status_code']} and not {status}")
    return code
