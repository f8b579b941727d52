//! The pure crates stay pure: what decides, judges and names things knows no runtime, no network, no database, no clock
//! and no chance, neither among its dependencies nor in its source.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const PURE: [&str; 3] = ["tidegate-model", "tidegate-planner", "tidegate-analysis"];

/// True for what a pure crate may not reach.
fn is_impure(package: &str) -> bool {
    const IMPURE: [&str; 9] =
        ["axum", "hyper", "mio", "rand", "reqwest", "rusqlite", "rustls", "sqlx", "tokio"];
    IMPURE.contains(&package) || package.starts_with("aws-") || package.starts_with("sqlx-")
}

/// In source: where time and chance would come in. They are arguments.
const IMPURE_WORDS: [&str; 8] = [
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rand::",
    "std::env",
    "std::fs",
    "std::net",
];

/// Normal dependencies of every package of the workspace as cargo resolves them for this machine, by package id.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        // Without a platform, cargo wants packages that were never downloaded on this one.
        let about = run(Command::new(&cargo).arg("-vV"));
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host").to_owned();
        let metadata = run(Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(["--filter-platform", &host])
            .current_dir(workspace()));
        Self::of(&serde_json::from_str(&metadata).expect("metadata is JSON"))
    }

    fn of(metadata: &Value) -> Self {
        let packages = items(&metadata["packages"]);
        let names = packages.map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let edges = items(&metadata["resolve"]["nodes"])
            .map(|node| {
                let normal = items(&node["deps"])
                    .filter(|dep| items(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()))
                    .map(|dep| text(&dep["pkg"]));
                (text(&node["id"]), normal.collect())
            })
            .collect();
        Self { names, edges }
    }

    /// Names of everything that `package` is built from, itself included.
    fn reach(&self, package: &str) -> BTreeSet<&str> {
        let root = self.names.iter().find(|(_, name)| *name == package).map(|(id, _)| id);
        let mut seen = BTreeSet::new();
        let mut ahead = vec![root.expect("a package of this workspace")];
        while let Some(id) = ahead.pop() {
            if seen.insert(id) {
                ahead.extend(&self.edges[id]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn pure_crates_reach_no_runtime_no_network_and_no_database() {
    let graph = Graph::read();
    for package in PURE {
        let reached = graph.reach(package);
        assert!(reached.len() > 5, "{package} reaches next to nothing: {reached:?}");
        let impure: Vec<_> = reached.into_iter().filter(|name| is_impure(name)).collect();
        assert!(impure.is_empty(), "{package} reaches {impure:?}");
    }
}

#[test]
fn the_same_walk_finds_the_runtime_and_the_sdk_where_they_belong() {
    let graph = Graph::read();
    let controller = graph.reach("tidegate-controller");
    assert!(controller.contains("tokio") && controller.contains("tidegate-planner"), "{controller:?}");
    assert!(graph.reach("tidegate-aws").contains("aws-sdk-ecs"));
    assert!(graph.reach("tidegate-ledger").iter().any(|name| is_impure(name)));
}

#[test]
fn pure_crates_take_time_and_chance_as_arguments() {
    let mut files = vec![];
    for package in PURE {
        let folder = package.strip_prefix("tidegate-").expect("a crate of this workspace");
        collect(&workspace().join("crates").join(folder).join("src"), &mut files);
    }
    assert!(files.len() > 30, "only {} files were found", files.len());
    for file in files {
        let source = std::fs::read_to_string(&file).expect("source is readable");
        for word in IMPURE_WORDS {
            assert!(!source.contains(word), "{} has {word}", file.display());
        }
    }
}

/// Source that ships: tests may throw dice.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of source") {
        let path = entry.expect("an entry").path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
