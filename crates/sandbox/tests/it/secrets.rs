//! Secrets Manager: stages and how they move.

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
