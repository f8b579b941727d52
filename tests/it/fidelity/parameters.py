"""Parameters, secrets, and who asks for them."""

from sides import pages


def parameters(side):
    def put(case, name, **given):
        side.call(case, "ssm", "PutParameter", **{"Name": name, "Value": "one", "Type": "String", **given})

    put("a new parameter", "/app/a", Description="first", Tags=[{"Key": "k", "Value": "v"}])
    put("a secret one", "/app/b", Type="SecureString")
    put("an advanced one", "/app/c", Tier="Advanced", Type="StringList", Value="x,y")
    put("below a sub-path", "/app/sub/d")
    put("without a path", "plain")
    put("a name that is taken", "/app/a", Value="two")
    put("overwritten", "/app/a", Value="two", Overwrite=True)
    put("overwritten with tags", "/app/a", Overwrite=True, Tags=[{"Key": "k", "Value": "w"}])
    parameters_read(side)
    parameters_labelled(side)
    parameters_tagged(side)
    put("a reserved name", "/aws/a")
    put("a relative path", "wrong/a")
    put("too many levels", "/" + "/".join("abcdefghijklmnop"))
    put("an unknown type", "/wrong", Type="Number")
    put("too long for its tier", "/wrong", Value="x" * 4097)
    put("back to the standard tier", "/app/c", Tier="Standard", Value="z", Overwrite=True)
    side.call("no value", "ssm", "PutParameter", Name="/wrong/value", Type="String")
    side.call("no type", "ssm", "PutParameter", Name="/wrong/type", Value="1")
    for name in ("/app/a", "/app/none"):
        side.call(f"of {name}", "ssm", "DeleteParameter", Name=name)
    side.call("some", "ssm", "DeleteParameters", Names=["/app/b", "/app/none", "plain"])


def parameters_read(side):
    def get(case, name, **given):
        side.call(case, "ssm", "GetParameter", Name=name, **given)

    get("by name", "/app/a")
    get("by version", "/app/a:1")
    get("a secret one, encrypted", "/app/b")
    get("a secret one, decrypted", "/app/b", WithDecryption=True)
    get("a list", "/app/c")
    get("none", "/app/none")
    get("no such version", "/app/a:9")
    get("by ARN", "arn:aws:ssm:eu-west-1:123456789012:parameter/app/a")
    side.call("no name", "ssm", "GetParameter")
    side.call("none, by ARN", "ssm", "GetParameter", Name="arn:aws:ssm:eu-west-1:123456789012:parameter/none")
    names = ["plain", "/app/sub/d", "/app/c", "/app/none", "/app/b", "/app/a"]
    side.call("some, not in order", "ssm", "GetParameters", Names=names)
    side.call("eleven names", "ssm", "GetParameters", Names=[f"/app/{n}" for n in range(11)])
    pages(
        side,
        "recursively",
        "ssm",
        "GetParametersByPath",
        "NextToken",
        "NextToken",
        Path="/app",
        Recursive=True,
        MaxResults=2,
    )
    side.call("not recursively", "ssm", "GetParametersByPath", Path="/app/")
    side.call("a path with nothing", "ssm", "GetParametersByPath", Path="/none")
    side.call("a path without slash", "ssm", "GetParametersByPath", Path="app")
    side.call("pages of eleven", "ssm", "GetParametersByPath", Path="/app", MaxResults=11)
    side.call("a wrong token", "ssm", "GetParametersByPath", Path="/app", NextToken="wrong")
    pages(side, "all", "ssm", "DescribeParameters", "NextToken", "NextToken", MaxResults=3)

    def describe(case, **given):
        side.call(case, "ssm", "DescribeParameters", ParameterFilters=[given])

    describe("by name", Key="Name", Option="Equals", Values=["/app/a"])
    describe("by the beginning of a name", Key="Name", Option="BeginsWith", Values=["/app/s"])
    describe("by path", Key="Path", Option="OneLevel", Values=["/app"])
    describe("by path recursively", Key="Path", Option="Recursive", Values=["/app"])
    describe("by type", Key="Type", Values=["SecureString"])
    describe("by tier", Key="Tier", Values=["Advanced"])
    describe("by a wrong key", Key="Colour", Values=["red"])


def parameters_labelled(side):
    def label(case, name, labels, **given):
        side.call(case, "ssm", "LabelParameterVersion", Name=name, Labels=labels, **given)

    label("two labels", "/app/a", ["good", "stable"], ParameterVersion=1)
    label("a label that moves", "/app/a", ["good"])
    label("labels that are not valid", "/app/a", ["1st", "aws-x", "fine"])
    label("of none", "/app/none", ["good"])
    label("of no such version", "/app/a", ["good"], ParameterVersion=9)
    side.call("by label", "ssm", "GetParameter", Name="/app/a:stable")
    pages(side, "of two", "ssm", "GetParameterHistory", "NextToken", "NextToken", Name="/app/a", MaxResults=1)
    side.call("of a secret one", "ssm", "GetParameterHistory", Name="/app/b", WithDecryption=True)
    side.call("of none", "ssm", "GetParameterHistory", Name="/app/none")


def parameters_tagged(side):
    def tags(operation, case, name, **given):
        side.call(case, "ssm", operation, ResourceType="Parameter", ResourceId=name, **given)

    more = {"Tags": [{"Key": "x", "Value": "y"}, {"Key": "k", "Value": "w"}]}
    tags("ListTagsForResource", "as created", "/app/a")
    tags("AddTagsToResource", "one new, one changed", "/app/a", **more)
    tags("ListTagsForResource", "as changed", "/app/a")
    tags("ListTagsForResource", "of none", "/app/none")
    tags("AddTagsToResource", "of none", "/app/none", **more)
    side.call("of another kind", "ssm", "ListTagsForResource", ResourceType="Colour", ResourceId="red")


def secrets(side):
    def call(case, operation, **given):
        return side.call(case, "secretsmanager", operation, **given)

    first, second = "0" * 31 + "1", "0" * 31 + "2"
    tags = [{"Key": "k", "Value": "v"}]
    call(
        "a new one",
        "CreateSecret",
        Name="app",
        SecretString="1",
        ClientRequestToken=first,
        Description="d",
        Tags=tags,
    )
    call("a name that is taken", "CreateSecret", Name="app", SecretString="2")
    call("without a value", "CreateSecret", Name="bare")
    call("no name", "CreateSecret", SecretString="1")
    call("a second version", "PutSecretValue", SecretId="app", SecretString="2", ClientRequestToken=second)
    call("the same again", "PutSecretValue", SecretId="app", SecretString="2", ClientRequestToken=second)
    call(
        "another value under a used token",
        "PutSecretValue",
        SecretId="app",
        SecretString="3",
        ClientRequestToken=second,
    )
    call("of none", "PutSecretValue", SecretId="none", SecretString="1")
    arn = call("by name", "GetSecretValue", SecretId="app")["ARN"]
    call("by ARN", "GetSecretValue", SecretId=arn)
    call("the one before", "GetSecretValue", SecretId="app", VersionStage="AWSPREVIOUS")
    call("by version", "GetSecretValue", SecretId="app", VersionId=first)
    call("no such stage", "GetSecretValue", SecretId="app", VersionStage="none")
    call("no such version", "GetSecretValue", SecretId="app", VersionId="9" * 32)
    call("of none", "GetSecretValue", SecretId="none")
    call("without a value", "GetSecretValue", SecretId="bare")
    call("no name", "GetSecretValue")
    call("of two versions", "DescribeSecret", SecretId="app")
    call("without a value", "DescribeSecret", SecretId="bare")
    call("of none", "DescribeSecret", SecretId="none")
    call("by ARN without its suffix", "DescribeSecret", SecretId=arn[: -len("-abcdef")])
    call(
        "one new, one changed",
        "TagResource",
        SecretId="app",
        Tags=[{"Key": "x", "Value": "y"}, {"Key": "k", "Value": "w"}],
    )
    call("of none", "TagResource", SecretId="none", Tags=tags)
    call("one there, one not", "UntagResource", SecretId="app", TagKeys=["x", "none"])
    call("of none", "UntagResource", SecretId="none", TagKeys=["x"])
    pages(side, "all", "secretsmanager", "ListSecrets", "NextToken", "NextToken", MaxResults=1)
    call("by name", "ListSecrets", Filters=[{"Key": "name", "Values": ["app"]}])


def identity(side):
    side.call("of the caller", "sts", "GetCallerIdentity")
