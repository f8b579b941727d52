"""What `world.toml` gives the sandbox, made in moto by the calls that the sandbox does not have."""

DEFINITION = {
    "family": "shop",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "shop:v1",
            "essential": True,
            # moto fails without it, though the task has its own.
            "memory": 128,
            "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
        }
    ],
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
}
HEALTH = {
    "HealthCheckPath": "/health",
    "HealthCheckIntervalSeconds": 30,
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 3,
    "Matcher": {"HttpCode": "200-299"},
}


def prepare(moto):
    subnets, vpc, security = network(moto)
    groups, listener = balancing(moto, subnets, vpc)
    containers(
        moto, groups[0], {"subnets": subnets, "securityGroups": [security], "assignPublicIp": "DISABLED"}
    )
    database(moto)
    deployments(moto, groups, listener)
    moto.subnet, moto.security = subnets[0], security


def network(moto):
    ec2 = moto.client("ec2")
    found = ec2.describe_subnets()["Subnets"][:2]
    security = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return [subnet["SubnetId"] for subnet in found], found[0]["VpcId"], security


def balancing(moto, subnets, vpc):
    elb = moto.client("elbv2")
    balancer = elb.create_load_balancer(Name="shop", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    groups = []
    for name in ("shop-blue", "shop-green"):
        made = elb.create_target_group(
            Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", **HEALTH
        )
        group = made["TargetGroups"][0]["TargetGroupArn"]
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}
        elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
        groups.append(group)
    listener = elb.create_listener(
        LoadBalancerArn=balancer,
        Port=8080,
        Protocol="HTTP",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": groups[0]}],
    )
    return groups, listener["Listeners"][0]["ListenerArn"]


def containers(moto, group, vpc):
    ecs = moto.client("ecs")
    ecs.create_cluster(clusterName="shop")
    ecs.register_task_definition(**DEFINITION)
    ecs.create_service(
        cluster="shop",
        serviceName="shop",
        taskDefinition="shop",
        desiredCount=2,
        launchType="FARGATE",
        loadBalancers=[{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}],
        networkConfiguration={"awsvpcConfiguration": vpc},
        deploymentController={"type": "CODE_DEPLOY"},
    )


def database(moto):
    moto.client("rds").create_db_instance(
        DBInstanceIdentifier="shop-db",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        EngineVersion="15.8",
        MasterUsername="postgres",
        MasterUserPassword="sandbox-master-password",
        DBName="shop",
        AllocatedStorage=20,
        StorageType="gp3",
        StorageEncrypted=True,
        BackupRetentionPeriod=7,
        PubliclyAccessible=False,
    )


def deployments(moto, groups, listener):
    codedeploy = moto.client("codedeploy")
    codedeploy.create_application(applicationName="shop", computePlatform="ECS")
    waits = {
        "terminateBlueInstancesOnDeploymentSuccess": {
            "action": "TERMINATE",
            "terminationWaitTimeInMinutes": 5,
        },
        "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 0},
    }
    pair = {
        "targetGroups": [{"name": "shop-blue"}, {"name": "shop-green"}],
        "prodTrafficRoute": {"listenerArns": [listener]},
    }
    codedeploy.create_deployment_group(
        applicationName="shop",
        deploymentGroupName="shop",
        deploymentConfigName="CodeDeployDefault.ECSAllAtOnce",
        serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
        deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        blueGreenDeploymentConfiguration=waits,
        loadBalancerInfo={"targetGroupPairInfoList": [pair]},
        ecsServices=[{"clusterName": "shop", "serviceName": "shop"}],
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    )
