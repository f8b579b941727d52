//! Live: the daemon is killed at times that nobody chose. `cargo xtask chaos` does it for as long as somebody likes, and through
//! the end of the change; here it is one release, and always the same dice.

use tidegate_tests::chaos::{self, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_survives_kills_at_random() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let settings = Settings { kills: 8, seed: 1, speed: 45, whole: false };
    let played = chaos::run(settings, std::future::pending(), &|line| println!("{line}")).await;
    let report = played.unwrap_or_else(|error| panic!("{error}")).expect("nobody interrupts");
    println!("{report}");
    assert_eq!(report.kills, 8, "the release was over before the dice had thrown them all");
    assert!(report.broken().is_empty(), "{:#?}", report.broken());
}
