//! Secrets Manager: stages and how they move.

use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};

use crate::support::{Stage, code};

async fn value(stage: &Stage, at: Option<&str>) -> String {
    let get =
        stage.secrets().get_secret_value().secret_id("shop-db").set_version_stage(at.map(str::to_owned));
    get.send().await.unwrap().secret_string.unwrap()
}

#[tokio::test]
async fn a_new_value_makes_the_old_one_the_previous_one() {
    let stage = Stage::story();
    let before = value(&stage, None).await;
    assert!(before.contains("\"username\":\"shop\""), "the world file's value is JSON by its keys");
    for new in ["second", "third"] {
        stage.secrets().put_secret_value().secret_id("shop-db").secret_string(new).send().await.unwrap();
    }
    assert_eq!(value(&stage, None).await, "third");
    assert_eq!(value(&stage, Some("AWSPREVIOUS")).await, "second");
    let described = stage.secrets().describe_secret().secret_id("shop-db").send().await.unwrap();
    assert_eq!(described.version_ids_to_stages().unwrap().len(), 2, "the first version has no stage left");
}

#[tokio::test]
async fn a_pending_version_is_not_what_readers_get() {
    let stage = Stage::story();
    let before = value(&stage, None).await;
    let put = stage.secrets().put_secret_value().secret_id("shop-db").secret_string("soon");
    put.version_stages("AWSPENDING").send().await.unwrap();
    assert_eq!(value(&stage, None).await, before);
    assert_eq!(value(&stage, Some("AWSPENDING")).await, "soon");
}

#[tokio::test]
async fn a_repeated_write_with_the_same_token_is_one_version() {
    let stage = Stage::story();
    let token = "0123456789abcdef0123456789abcdef";
    let put = |text: &str| {
        let put = stage.secrets().put_secret_value().secret_id("shop-db").secret_string(text);
        put.client_request_token(token).send()
    };
    assert_eq!(put("new").await.unwrap().version_id.unwrap(), token);
    assert_eq!(code(put("new").await), "ok");
    assert_eq!(code(put("other").await), "ResourceExistsException");
    assert_eq!(stage.effects(), ["PutSecretValue"]);
}

#[tokio::test]
async fn a_secret_is_found_by_name_and_by_arn_and_shows_its_tags() {
    let stage = Stage::story();
    let secret = stage.secrets().describe_secret().secret_id("tidegate-ecommerce").send().await.unwrap();
    let by_arn = stage.secrets().describe_secret().secret_id(secret.arn().unwrap()).send().await.unwrap();
    assert_eq!(by_arn.name(), Some("tidegate-ecommerce"));
    let tag = by_arn.tags().first().map(|t| (t.key().unwrap(), t.value().unwrap()));
    assert_eq!(tag, Some(("tidegate:instance", "ecommerce-db")));
    let missing = stage.secrets().get_secret_value().secret_id("nothing").send().await;
    assert_eq!(code(missing), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_new_secret_keeps_its_description_and_the_version_that_the_caller_named() {
    let stage = Stage::empty();
    let token = "0123456789abcdef0123456789abcdef";
    let create = stage.secrets().create_secret().name("app").secret_string("one").description("for the app");
    let made = create.client_request_token(token).send().await.unwrap();
    assert_eq!(made.version_id(), Some(token));
    let described = stage.secrets().describe_secret().secret_id("app").send().await.unwrap();
    assert_eq!(described.description(), Some("for the app"));
    let got = stage.secrets().get_secret_value().secret_id("app").version_id(token).send().await.unwrap();
    assert_eq!(got.secret_string(), Some("one"));
}

#[tokio::test]
async fn a_secret_without_a_value_has_no_version_until_one_is_put() {
    let stage = Stage::empty();
    let made = stage.secrets().create_secret().name("bare").send().await.unwrap();
    assert_eq!(made.version_id(), None);
    let get = || stage.secrets().get_secret_value().secret_id("bare").send();
    assert_eq!(code(get().await), "ResourceNotFoundException");
    stage.secrets().put_secret_value().secret_id("bare").secret_string("one").send().await.unwrap();
    assert_eq!(get().await.unwrap().secret_string(), Some("one"));
}

#[tokio::test]
async fn secrets_are_listed_in_pages_and_by_filter() {
    let stage = Stage::empty();
    for name in ["a", "b", "other"] {
        stage.secrets().create_secret().name(name).secret_string("v").send().await.unwrap();
    }
    let first = stage.secrets().list_secrets().max_results(2).send().await.unwrap();
    assert_eq!(first.secret_list().len(), 2);
    let rest = stage.secrets().list_secrets().max_results(2).set_next_token(first.next_token);
    let rest = rest.send().await.unwrap();
    assert_eq!((rest.secret_list()[0].name(), rest.next_token()), (Some("other"), None));
    for (value, found) in [("o", 1), ("!o", 2)] {
        let filter = Filter::builder().key(FilterNameStringType::Name).values(value).build();
        let listed = stage.secrets().list_secrets().filters(filter).send().await.unwrap();
        assert_eq!(listed.secret_list().len(), found, "{value}");
    }
    let wrong = stage.secrets().list_secrets().next_token("wrong").send().await;
    assert_eq!(code(wrong), "InvalidNextTokenException");
}
