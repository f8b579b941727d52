//! Load balancing and CodeDeploy's lists: pages, targets by name, and what is refused because it is not there.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetDescription, TargetGroupTuple, TargetHealthReasonEnum,
    TargetHealthStateEnum,
};

use crate::support::{Stage, code};

async fn groups(stage: &Stage) -> Vec<String> {
    let found = stage.elb().describe_target_groups().send().await.unwrap().target_groups.unwrap();
    found.into_iter().map(|group| group.target_group_arn.unwrap()).collect()
}

#[tokio::test]
async fn target_groups_come_in_pages() {
    let stage = Stage::story();
    let first = stage.elb().describe_target_groups().page_size(1).send().await.unwrap();
    assert_eq!(first.target_groups()[0].target_group_name(), Some("ecommerce-blue"));
    let second = stage.elb().describe_target_groups().page_size(1).set_marker(first.next_marker);
    let second = second.send().await.unwrap();
    assert_eq!(second.target_groups()[0].target_group_name(), Some("ecommerce-green"));
    assert_eq!(second.next_marker(), None);
    let wrong = stage.elb().describe_target_groups().page_size(401).send().await;
    assert_eq!(code(wrong), "ValidationError");
}

#[tokio::test]
async fn health_is_told_of_the_targets_that_are_asked_for() {
    let stage = Stage::story();
    let blue = groups(&stage).await.remove(0);
    let all = stage.elb().describe_target_health().target_group_arn(&blue).send().await.unwrap();
    assert_eq!(all.target_health_descriptions().len(), 2);
    let known = all.target_health_descriptions()[0].target().unwrap().clone();
    let stranger = TargetDescription::builder().id("10.9.9.9").port(80).build();
    let asked = stage.elb().describe_target_health().target_group_arn(&blue).targets(stranger).targets(known);
    let told = asked.send().await.unwrap().target_health_descriptions.unwrap();
    let health: Vec<_> = told.iter().map(|one| one.target_health().unwrap()).collect();
    assert_eq!(health[0].state(), Some(&TargetHealthStateEnum::Unused));
    assert_eq!(health[0].reason(), Some(&TargetHealthReasonEnum::NotRegistered));
    assert_eq!((health.len(), health[1].state()), (2, Some(&TargetHealthStateEnum::Healthy)));
}

#[tokio::test]
async fn tags_of_what_is_not_there_are_refused_by_its_kind() {
    let stage = Stage::story();
    let blue = groups(&stage).await.remove(0);
    let tags = |arn: String| stage.elb().describe_tags().resource_arns(arn).send();
    assert_eq!(code(tags(blue.clone()).await), "ok");
    assert_eq!(code(tags(blue.replace("blue", "none")).await), "TargetGroupNotFound");
    let balancer = blue.replace("targetgroup/", "loadbalancer/app/");
    assert_eq!(code(tags(balancer).await), "LoadBalancerNotFound");
    assert_eq!(code(tags("colour".to_owned()).await), "ValidationError");
}

#[tokio::test]
async fn a_forward_to_six_groups_is_refused_with_a_code_that_the_operation_has() {
    let stage = Stage::story();
    let blue = groups(&stage).await.remove(0);
    let balancer =
        stage.elb().describe_load_balancers().send().await.unwrap().load_balancers.unwrap().remove(0);
    let listeners = stage.elb().describe_listeners().load_balancer_arn(balancer.load_balancer_arn.unwrap());
    let listener = listeners.send().await.unwrap().listeners.unwrap().remove(0).listener_arn.unwrap();
    let group = TargetGroupTuple::builder().target_group_arn(blue).weight(1).build();
    let forward = ForwardActionConfig::builder().set_target_groups(Some(vec![group; 6])).build();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward).build();
    let modify = stage.elb().modify_listener().listener_arn(listener).default_actions(action);
    assert_eq!(code(modify.send().await), "ValidationError");
}

#[tokio::test]
async fn groups_of_an_application_that_is_not_there_are_not_an_empty_list() {
    let stage = Stage::story();
    let list = stage.codedeploy().list_deployment_groups().application_name("none").send().await;
    assert_eq!(code(list), "ApplicationDoesNotExistException");
    let get = stage.codedeploy().batch_get_deployment_groups().application_name("none");
    assert_eq!(code(get.deployment_group_names("any").send().await), "ApplicationDoesNotExistException");
    let application = stage.codedeploy().get_application().application_name("ecommerce-bluegreen");
    let application = application.send().await.unwrap().application.unwrap();
    assert!(application.create_time().is_some());
}
