//! World files: what they make, and what they are refused for.

use tidegate_sandbox::world::{Mode, World, file::WorldFileError};

use crate::support::{STORY, Stage, start};

fn refused(text: &str) -> WorldFileError {
    World::from_file(text, start(), Mode::Modelled { seed: 7 }).unwrap_err()
}

#[tokio::test]
async fn the_storys_world_is_settled_when_it_begins() {
    let stage = Stage::story();
    let services = stage.ecs().describe_services().cluster("ecommerce").services("ecommerce").send();
    let service = services.await.unwrap().services.unwrap().remove(0);
    assert_eq!((service.desired_count, service.running_count, service.pending_count), (2, 2, 0));
    let listeners = stage.elb().describe_load_balancers().send().await.unwrap();
    let balancer = listeners.load_balancers()[0].load_balancer_arn().unwrap().to_owned();
    let listeners = stage.elb().describe_listeners().load_balancer_arn(balancer).send().await.unwrap();
    let mut ports: Vec<_> = listeners
        .listeners()
        .iter()
        .filter_map(aws_sdk_elasticloadbalancingv2::types::Listener::port)
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [8080, 8081]);
    let groups = stage.elb().describe_target_groups().names("ecommerce-blue").send().await.unwrap();
    let blue = groups.target_groups()[0].target_group_arn().unwrap().to_owned();
    let health = stage.elb().describe_target_health().target_group_arn(blue).send().await.unwrap();
    let states: Vec<_> = health
        .target_health_descriptions()
        .iter()
        .map(|d| d.target_health().unwrap().state().unwrap().as_str().to_owned())
        .collect();
    assert_eq!(states, ["healthy", "healthy"]);
    assert!(stage.effects().is_empty(), "what a file describes is not an effect of anybody's call");
}

#[test]
fn the_same_file_and_seed_give_the_same_world() {
    let world = || format!("{:?}", World::from_file(STORY, start(), Mode::Modelled { seed: 7 }).unwrap());
    assert_eq!(world(), world());
}

#[test]
fn a_world_begins_at_the_instant_that_is_asked() {
    for mode in [Mode::Modelled { seed: 1 }, Mode::Live] {
        assert_eq!(World::from_file(STORY, start(), mode).unwrap().now(), start());
    }
}

#[test]
fn an_undefined_name_is_told_with_the_place_that_names_it() {
    let text = STORY.replace("test_listener = \"test\"", "test_listener = \"tset\"");
    let place = "deployment group ecommerce-bluegreen".to_owned();
    assert_eq!(refused(&text), WorldFileError::Undefined { place, name: "tset".to_owned() });
    let text = STORY.replace("alarms = [\"ecommerce-5xx\"]", "alarms = [\"red\"]");
    assert!(refused(&text).to_string().contains("names red, which the file does not define"));
}

#[test]
fn a_name_defined_twice_is_told() {
    let text = format!("{STORY}\n[[target_groups]]\nname = \"ecommerce-blue\"\n");
    assert_eq!(refused(&text), WorldFileError::Twice { place: "target group ecommerce-blue".to_owned() });
}

#[test]
fn a_value_that_aws_would_refuse_is_told() {
    for (good, bad, word) in [
        ("forward = { ecommerce-blue = 1 }", "forward = { ecommerce-blue = 1000 }", "weights"),
        ("forward = { ecommerce-blue = 1 }", "forward = { }", "target groups"),
        ("interval = 10", "interval = 1", "interval"),
        ("later_error_share = 0.3", "later_error_share = 30.0", "error shares"),
        ("port = 8081", "port = 8080", "port"),
        ("DEPLOYMENT_STOP_ON_ALARM", "ON_ALARM", "rollback_events"),
    ] {
        let error = refused(&STORY.replace(good, bad)).to_string();
        assert!(error.contains(word), "{bad} gave: {error}");
    }
}

#[test]
fn a_misspelt_key_is_told_with_its_line() {
    let WorldFileError::Toml(text) = refused("account = \"123456789012\"\nregoin = \"eu-west-1\"\n") else {
        panic!("an unknown key is an error of the TOML");
    };
    assert!(text.contains("line 2") && text.contains("regoin"), "{text}");
}
