//! Live: several daemons on one ledger. One leads the release; it is asked to stop, the next one is killed, and the release
//! goes on as if nothing had happened.

use std::time::Duration;

use tidegate_model::status::Summary;
use tidegate_tests::{several::Several, stage::spec_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_on_when_its_leader_is_stopped_and_when_it_is_killed() {
    let world = Several::start().await;
    let (one, other) = (world.daemon().await, world.daemon().await);
    let spec = spec_with("shop:v2", r#""bake": "2m""#);
    world.people.put("spec", &spec).await.expect("the spec is written");
    let (first, second) = world.sorted(one, other).await;
    world
        .until(&first, "green gets traffic", |s| s.rollout.green_weight.filter(|weight| *weight >= 10.0))
        .await;

    let leader = world
        .until(&second, "the follower shows the shift", |s| {
            s.led_by.clone().filter(|_| s.rollout.phase == "shifting" && s.rollout.green_weight >= Some(10.0))
        })
        .await;
    assert!(second.get("/releases/ecommerce").await.expect("a page").contains(&leader));
    second.get("/readyz").await.expect("who follows is ready");
    let metrics = second.get("/metrics").await.expect("metrics");
    let of_it: Vec<&str> = metrics.lines().filter(|line| line.contains("release=\"ecommerce\"")).collect();
    assert_eq!(of_it, ["tidegate_leader{release=\"ecommerce\"} 0"], "the leader exports the rest");

    first.stop().await.expect("it stops");
    let handed_over = world.until_it_leads(&second).await;
    assert!(handed_over < Duration::from_secs(20), "{handed_over:?}");

    let third = world.daemon().await;
    world.until(&third, "the new one follows", |s| s.led_by.clone()).await;
    second.kill().await.expect("it is killed");
    let taken_over = world.until_it_leads(&third).await;
    assert!(taken_over < Duration::from_secs(120), "{taken_over:?}");
    assert!(taken_over > Duration::from_secs(30), "the lease was not waited for: {taken_over:?}");

    world
        .until(&third, "the release settles", |s| {
            assert_ne!(s.summary, Summary::RolledBack, "{:?}", s.rollout.cause);
            (s.summary == Summary::Healthy && s.rollout.phase == "settled").then_some(())
        })
        .await;
    assert_eq!(
        world.effects(),
        ["RegisterTaskDefinition", "CreateDeployment", "ContinueDeployment", "ContinueDeployment"],
        "exactly one effect of each intent"
    );
    let judged = world.judged().await;
    let told = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success() && told.contains("spec version 1"), "{judged:?}");
    third.stop().await.expect("it stops");
    assert!(!world.logged().contains(world.password()), "a password was logged");
}
