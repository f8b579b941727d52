"""Task definitions, services and tasks."""

from sides import pages


def task_definitions(side):
    def call(case, operation, **given):
        return side.call(case, "ecs", operation, **given)

    container = {
        "name": "app",
        "image": "job:v1",
        "memory": 128,
        "cpu": 0,
        "essential": True,
        "environment": [],
    }
    container.update(mountPoints=[], volumesFrom=[], portMappings=[], systemControls=[])
    small = {"family": "job", "containerDefinitions": [container], "networkMode": "bridge"}
    call("a new family", "RegisterTaskDefinition", **small, tags=[{"key": "k", "value": "v"}])
    call("the same again", "RegisterTaskDefinition", **small)
    call(
        "for Fargate",
        "RegisterTaskDefinition",
        **{**small, "family": "fargate", "networkMode": "awsvpc"},
        cpu="256",
        memory="512",
        requiresCompatibilities=["FARGATE"],
    )
    call("the newest", "DescribeTaskDefinition", taskDefinition="job")
    call("a revision with its tags", "DescribeTaskDefinition", taskDefinition="job:1", include=["TAGS"])
    call("none", "DescribeTaskDefinition", taskDefinition="none")
    call("no such revision", "DescribeTaskDefinition", taskDefinition="job:9")
    pages(side, "all", "ecs", "ListTaskDefinitions", "nextToken", "nextToken", maxResults=2)
    call("of a family, newest first", "ListTaskDefinitions", familyPrefix="job", sort="DESC")
    call("of no family", "ListTaskDefinitions", familyPrefix="none")
    call("a revision", "DeregisterTaskDefinition", taskDefinition="job:1")
    call("none", "DeregisterTaskDefinition", taskDefinition="none:1")
    call("without a revision", "DeregisterTaskDefinition", taskDefinition="job")
    call("deregistered ones", "ListTaskDefinitions", status="INACTIVE")
    call("a deregistered one", "DescribeTaskDefinition", taskDefinition="job:1")
    call("no family", "RegisterTaskDefinition", containerDefinitions=[container])
    call("no containers", "RegisterTaskDefinition", family="wrong", containerDefinitions=[])
    call(
        "a container without image",
        "RegisterTaskDefinition",
        family="wrong",
        containerDefinitions=[{"name": "app", "memory": 128}],
    )
    call("a family with a space", "RegisterTaskDefinition", **{**small, "family": "a job"})


def services(side):
    def call(case, operation, **given):
        return side.call(case, "ecs", operation, **given)

    call("all", "ListClusters")
    call("one there, one not", "DescribeClusters", clusters=["shop", "none"])
    call("in a cluster", "ListServices", cluster="shop")
    call("in no cluster", "ListServices", cluster="none")
    call("one there, one not", "DescribeServices", cluster="shop", services=["shop", "none"])
    call("in no cluster", "DescribeServices", cluster="none", services=["shop"])
    call("none named", "DescribeServices", cluster="shop", services=[])
    call("eleven named", "DescribeServices", cluster="shop", services=[f"s{n}" for n in range(11)])
    call("another count", "UpdateService", cluster="shop", service="shop", desiredCount=3)
    call("none", "UpdateService", cluster="shop", service="none", desiredCount=3)
    call("in no cluster", "UpdateService", cluster="none", service="shop", desiredCount=3)
    call(
        "another task definition under CODE_DEPLOY",
        "UpdateService",
        cluster="shop",
        service="shop",
        taskDefinition="job:2",
    )
    sets = {"cluster": "shop", "service": "shop"}
    call("under CODE_DEPLOY", "CreateTaskSet", **sets, taskDefinition="shop:1")
    call(
        "under CODE_DEPLOY",
        "UpdateTaskSet",
        **sets,
        taskSet="ecs-svc/1",
        scale={"value": 50, "unit": "PERCENT"},
    )
    call("under CODE_DEPLOY", "UpdateServicePrimaryTaskSet", **sets, primaryTaskSet="ecs-svc/1")
    call("under CODE_DEPLOY", "DeleteTaskSet", **sets, taskSet="ecs-svc/1")


def tasks(side):
    def call(case, operation, **given):
        return side.call(case, "ecs", operation, **given)

    network = {"awsvpcConfiguration": {"subnets": [side.subnet], "securityGroups": [side.security]}}
    job = {
        "cluster": "shop",
        "taskDefinition": "fargate",
        "launchType": "FARGATE",
        "networkConfiguration": network,
    }
    run = call("a task", "RunTask", **job, startedBy="test", clientToken="token")
    call("the same token again", "RunTask", **job, startedBy="test", clientToken="token")
    call("a used token, another count", "RunTask", **job, clientToken="token", count=2)
    call("eleven", "RunTask", **job, count=11)
    call("of no definition", "RunTask", **{**job, "taskDefinition": "none"})
    call("in no cluster", "RunTask", **{**job, "cluster": "none"})
    call("without a network", "RunTask", cluster="shop", taskDefinition="fargate", launchType="FARGATE")
    call("started by a name", "ListTasks", cluster="shop", startedBy="test")
    pages(side, "of a cluster", "ecs", "ListTasks", "nextToken", "nextToken", cluster="shop", maxResults=2)
    call("started by nobody", "ListTasks", cluster="shop", startedBy="nobody")
    call("of a family", "ListTasks", cluster="shop", family="fargate")
    call("of a family without tasks", "ListTasks", cluster="shop", family="job")
    call("in no cluster", "ListTasks", cluster="none")
    task = run["tasks"][0]["taskArn"]
    call("one there, one not", "DescribeTasks", cluster="shop", tasks=[task, "0" * 32])
    call("in no cluster", "DescribeTasks", cluster="none", tasks=[task])
    call("none named", "DescribeTasks", cluster="shop", tasks=[])
    call("a task", "StopTask", cluster="shop", task=task, reason="over")
    call("none", "StopTask", cluster="shop", task="0" * 32)
    side.jump("2m")
    call("a stopped one", "DescribeTasks", cluster="shop", tasks=[task])
    call("stopped ones", "ListTasks", cluster="shop", startedBy="test", desiredStatus="STOPPED")
