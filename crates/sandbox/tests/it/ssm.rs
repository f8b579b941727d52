//! Parameter Store: versions, pages, create-only writes, limits.

use aws_sdk_ssm::types::{ParameterStringFilter, ParameterTier, ParameterType};

use crate::support::{Stage, code};

async fn put(stage: &Stage, name: &str, value: &str, overwrite: bool) -> String {
    let put = stage.ssm().put_parameter().name(name).value(value).overwrite(overwrite);
    code(put.r#type(ParameterType::String).send().await)
}

async fn newest(stage: &Stage, name: &str) -> (String, i64) {
    let found = stage.ssm().get_parameter().name(name).send().await.unwrap().parameter.unwrap();
    (found.value.unwrap(), found.version)
}

#[tokio::test]
async fn each_write_is_a_version_and_a_create_only_write_refuses_an_existing_name() {
    let stage = Stage::empty();
    assert_eq!(put(&stage, "/a/spec", "one", false).await, "ok");
    assert_eq!(put(&stage, "/a/spec", "two", false).await, "ParameterAlreadyExists");
    assert_eq!(put(&stage, "/a/spec", "two", true).await, "ok");
    assert_eq!(newest(&stage, "/a/spec").await, ("two".to_owned(), 2));
    assert_eq!(newest(&stage, "/a/spec:1").await, ("one".to_owned(), 1));
    assert_eq!(stage.effects(), ["PutParameter", "PutParameter"]);
}

#[tokio::test]
async fn a_path_is_read_in_pages_of_ten_with_tokens() {
    let stage = Stage::empty();
    for n in 0..23 {
        put(&stage, &format!("/fleet/r{n:02}/spec"), "{}", false).await;
    }
    put(&stage, "/fleeting/spec", "{}", false).await;
    let (mut names, mut sizes, mut token) = (vec![], vec![], None);
    loop {
        let page =
            stage.ssm().get_parameters_by_path().path("/fleet").recursive(true).set_next_token(token.take());
        let page = page.send().await.unwrap();
        sizes.push(page.parameters().len());
        names.extend(page.parameters().iter().map(|p| p.name().unwrap().to_owned()));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 3]);
    assert_eq!((names[0].as_str(), names[22].as_str()), ("/fleet/r00/spec", "/fleet/r22/spec"));
    let flat = stage.ssm().get_parameters_by_path().path("/fleet").send().await.unwrap();
    assert!(flat.parameters().is_empty(), "without recursion only direct children are given");
    let eleven = stage.ssm().get_parameters_by_path().path("/fleet").max_results(11).send().await;
    assert_eq!(code(eleven), "ValidationException");
}

#[tokio::test]
async fn unknown_names_come_back_as_invalid_and_not_as_an_error() {
    let stage = Stage::empty();
    for name in ["/b", "/a"] {
        put(&stage, name, "v", false).await;
    }
    let found = stage.ssm().get_parameters().names("/b").names("/none").names("/a").send().await.unwrap();
    let names: Vec<_> = found.parameters().iter().map(|p| p.name().unwrap()).collect();
    assert_eq!(names, ["/a", "/b"]);
    assert_eq!(found.invalid_parameters(), ["/none"]);
    assert_eq!(code(stage.ssm().get_parameter().name("/none").send().await), "ParameterNotFound");
    assert_eq!(code(stage.ssm().get_parameter().name("/a:7").send().await), "ParameterVersionNotFound");
}

#[tokio::test]
async fn a_deleted_name_rests_for_thirty_seconds_and_then_begins_at_version_one() {
    let stage = Stage::empty();
    for _ in 0..3 {
        put(&stage, "/a", "v", true).await;
    }
    stage.ssm().delete_parameter().name("/a").send().await.unwrap();
    assert_eq!(code(stage.ssm().get_parameter().name("/a").send().await), "ParameterNotFound");
    stage.pass_seconds(29);
    assert_eq!(put(&stage, "/a", "again", false).await, "TooManyUpdates");
    stage.pass_seconds(1);
    assert_eq!(put(&stage, "/a", "again", false).await, "ok");
    assert_eq!(newest(&stage, "/a").await, ("again".to_owned(), 1));
}

#[tokio::test]
async fn a_hundred_versions_are_kept_and_a_label_on_the_oldest_blocks_the_next_write() {
    let stage = Stage::empty();
    for n in 1..=101 {
        put(&stage, "/a", &n.to_string(), true).await;
    }
    assert_eq!(code(stage.ssm().get_parameter().name("/a:1").send().await), "ParameterVersionNotFound");
    let label = stage.ssm().label_parameter_version().name("/a").parameter_version(2).labels("pinned");
    assert!(label.send().await.unwrap().invalid_labels().is_empty());
    assert_eq!(newest(&stage, "/a:pinned").await, ("2".to_owned(), 2));
    assert_eq!(put(&stage, "/a", "102", true).await, "ParameterMaxVersionLimitExceeded");

    let mut history = vec![];
    let mut pages = stage.ssm().get_parameter_history().name("/a").into_paginator().send();
    while let Some(page) = pages.next().await {
        history.extend(page.unwrap().parameters.unwrap().into_iter().map(|version| version.version));
    }
    assert_eq!(history, (2..=101).collect::<Vec<i64>>());
}

#[tokio::test]
async fn sizes_follow_the_tier_and_a_tier_never_goes_back() {
    let stage = Stage::empty();
    let long = "x".repeat(4_097);
    assert_eq!(put(&stage, "/a", &long, false).await, "ValidationException");
    let ssm = stage.ssm();
    let write = |value: &str, tier: ParameterTier| {
        let put = ssm.put_parameter().name("/a").value(value).r#type(ParameterType::String);
        put.tier(tier).overwrite(true).send()
    };
    assert_eq!(code(write(&long, ParameterTier::Advanced).await), "ok");
    assert_eq!(code(write("short", ParameterTier::Standard).await), "ValidationException");
    assert_eq!(code(write(&"x".repeat(8_193), ParameterTier::Advanced).await), "ValidationException");
}

#[tokio::test]
async fn names_and_values_that_aws_refuses_are_refused() {
    let stage = Stage::empty();
    for name in ["/aws/a", "ssm-a", "a/b", "/a b", "/ä"] {
        assert_eq!(put(&stage, name, "v", false).await, "ValidationException", "{name} was taken");
    }
    let deep = "/l".repeat(16);
    assert_eq!(put(&stage, &deep, "v", false).await, "HierarchyLevelLimitExceededException");
    assert_eq!(put(&stage, "/a", "{{ssm:other}}", false).await, "ValidationException");
    assert!(stage.effects().is_empty());
}

#[tokio::test]
async fn a_secure_string_shows_its_value_only_when_decryption_is_asked() {
    let stage = Stage::empty();
    let put = stage.ssm().put_parameter().name("/s").value("hidden").r#type(ParameterType::SecureString);
    put.send().await.unwrap();
    assert_ne!(newest(&stage, "/s").await.0, "hidden");
    let shown = stage.ssm().get_parameter().name("/s").with_decryption(true).send().await.unwrap();
    assert_eq!(shown.parameter.unwrap().value.unwrap(), "hidden");
}

#[tokio::test]
async fn descriptions_give_metadata_and_never_values() {
    let stage = Stage::empty();
    put(&stage, "/a/spec", "v", false).await;
    put(&stage, "/b/spec", "v", false).await;
    let filter = aws_sdk_ssm::types::ParameterStringFilter::builder()
        .key("Name")
        .option("BeginsWith")
        .values("/a/")
        .build()
        .unwrap();
    let found = stage.ssm().describe_parameters().parameter_filters(filter).send().await.unwrap();
    let [only] = found.parameters() else { panic!("one parameter begins with /a/") };
    assert_eq!((only.name(), only.version), (Some("/a/spec"), 1));
    assert!(only.last_modified_user().is_some_and(|user| user.starts_with("arn:aws:iam::123456789012:")));
}

async fn described(stage: &Stage, key: &str, option: Option<&str>, value: &str) -> Vec<String> {
    let filter =
        ParameterStringFilter::builder().key(key).set_option(option.map(str::to_owned)).values(value);
    let found = stage.ssm().describe_parameters().parameter_filters(filter.build().unwrap()).send().await;
    let found = found.unwrap().parameters.unwrap_or_default();
    found.into_iter().map(|parameter| parameter.name.unwrap()).collect()
}

#[tokio::test]
async fn parameters_are_described_by_one_level_of_a_path_or_by_all_below_it() {
    let stage = Stage::empty();
    for name in ["/app/a", "/app/sub/b", "/apple"] {
        put(&stage, name, "v", false).await;
    }
    assert_eq!(described(&stage, "Path", None, "/app").await, ["/app/a"]);
    assert_eq!(described(&stage, "Path", Some("Recursive"), "/app/").await, ["/app/a", "/app/sub/b"]);
    assert_eq!(described(&stage, "Name", Some("Contains"), "pp").await.len(), 3);
    assert_eq!(described(&stage, "Name", None, "/app").await, [""; 0]);
    assert_eq!(described(&stage, "Type", Some("BeginsWith"), "Str").await.len(), 3);
}

#[tokio::test]
async fn the_key_of_a_secret_parameter_is_described() {
    let stage = Stage::empty();
    let secret = stage.ssm().put_parameter().name("/s").value("v").r#type(ParameterType::SecureString);
    secret.send().await.unwrap();
    put(&stage, "/t", "v", false).await;
    let found = stage.ssm().describe_parameters().send().await.unwrap().parameters.unwrap();
    assert_eq!([found[0].key_id(), found[1].key_id()], [Some("alias/aws/ssm"), None]);
}

#[tokio::test]
async fn tags_of_an_unknown_kind_are_refused_by_the_kind() {
    let stage = Stage::empty();
    let list = |kind: &str| {
        stage.ssm().list_tags_for_resource().resource_type(kind.into()).resource_id("/none").send()
    };
    assert_eq!(code(list("Colour").await), "InvalidResourceType");
    assert_eq!(code(list("Document").await), "InvalidResourceId");
}
