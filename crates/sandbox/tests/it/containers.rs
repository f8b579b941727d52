//! ECS: lists in pages, and how clusters, tasks and task definitions are described.

use aws_sdk_ecs::types::{Compatibility, ContainerDefinition, NetworkMode};

use crate::support::{Stage, code};

async fn register(stage: &Stage, family: &str) -> Vec<Compatibility> {
    let container = ContainerDefinition::builder().name("app").image("job:v1").build();
    let made = stage.ecs().register_task_definition().family(family).container_definitions(container);
    made.send().await.unwrap().task_definition.unwrap().compatibilities.unwrap()
}

#[tokio::test]
async fn task_definitions_are_listed_in_pages() {
    let stage = Stage::empty();
    for family in ["a", "a", "b"] {
        register(&stage, family).await;
    }
    let first = stage.ecs().list_task_definitions().max_results(2).send().await.unwrap();
    assert_eq!(first.task_definition_arns().len(), 2);
    let rest = stage.ecs().list_task_definitions().set_next_token(first.next_token).send().await.unwrap();
    assert!(rest.task_definition_arns()[0].ends_with("task-definition/b:1"));
    assert_eq!((rest.task_definition_arns().len(), rest.next_token()), (1, None));
    let wrong = stage.ecs().list_task_definitions().max_results(101).send().await;
    assert_eq!(code(wrong), "InvalidParameterException");
}

#[tokio::test]
async fn only_a_definition_with_its_own_network_and_size_runs_on_fargate() {
    let stage = Stage::empty();
    assert_eq!(register(&stage, "small").await, [Compatibility::Ec2]);
    let container = ContainerDefinition::builder().name("app").image("job:v1").build();
    let made = stage.ecs().register_task_definition().family("sized").container_definitions(container);
    let made = made.network_mode(NetworkMode::Awsvpc).cpu("256").memory("512").send().await.unwrap();
    let told = made.task_definition.unwrap().compatibilities.unwrap();
    assert_eq!(told, [Compatibility::Ec2, Compatibility::Fargate]);
}

#[tokio::test]
async fn a_task_definition_is_deregistered_by_its_revision_only() {
    let stage = Stage::empty();
    register(&stage, "job").await;
    let deregister = |name: &str| stage.ecs().deregister_task_definition().task_definition(name).send();
    assert_eq!(code(deregister("job").await), "ClientException");
    assert_eq!(code(deregister("job:1").await), "ok");
}

#[tokio::test]
async fn a_cluster_counts_its_services_and_tasks_and_a_lone_task_is_grouped_by_its_family() {
    let stage = Stage::story();
    register(&stage, "job").await;
    let run = stage.ecs().run_task().cluster("ecommerce").task_definition("job").send().await.unwrap();
    assert_eq!(run.tasks()[0].group(), Some("family:job"));
    let found = stage.ecs().describe_clusters().clusters("ecommerce").send().await.unwrap();
    let cluster = &found.clusters()[0];
    assert_eq!(cluster.active_services_count(), 1);
    assert_eq!((cluster.running_tasks_count(), cluster.pending_tasks_count()), (2, 1));
}
