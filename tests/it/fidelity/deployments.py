"""CodeDeploy's applications, groups and deployments."""

import json


def deployments(side):
    def call(case, operation, **given):
        return side.call(case, "codedeploy", operation, **given)

    app, group = {"applicationName": "shop"}, {"applicationName": "shop", "deploymentGroupName": "shop"}
    call("all", "ListApplications")
    call("one", "GetApplication", **app)
    call("none", "GetApplication", applicationName="none")
    call("of an application", "ListDeploymentGroups", **app)
    call("of no application", "ListDeploymentGroups", applicationName="none")
    call("one", "GetDeploymentGroup", **group)
    call("none", "GetDeploymentGroup", **app, deploymentGroupName="none")
    call("of no application", "GetDeploymentGroup", applicationName="none", deploymentGroupName="shop")
    balancer = {"ContainerName": "app", "ContainerPort": 8080}
    properties = {
        "TaskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/shop:1",
        "LoadBalancerInfo": balancer,
    }
    service = {"TargetService": {"Type": "AWS::ECS::Service", "Properties": properties}}
    content = {"content": json.dumps({"version": 0.0, "Resources": [service]})}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": content}
    made = call("one", "CreateDeployment", **group, revision=revision, description="d").get("deploymentId")
    call("a second at once", "CreateDeployment", **group, revision=revision)
    call(
        "of no application",
        "CreateDeployment",
        applicationName="none",
        deploymentGroupName="shop",
        revision=revision,
    )
    call("of no group", "CreateDeployment", **app, deploymentGroupName="none", revision=revision)
    call("one", "GetDeployment", deploymentId=made)
    call("none", "GetDeployment", deploymentId="d-NONENONE9")
    call("one there, one not", "BatchGetDeployments", deploymentIds=[made, "d-NONENONE9"])
    call("of a group", "ListDeployments", **group)
    call("of no group", "ListDeployments", **app, deploymentGroupName="none")
