//! The eight versions: how each behaves, on which service, and what must become of it.

use std::collections::BTreeMap;

use tidegate_model::verdict::Check;

/// A service before anything is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// One request in a thousand fails, evenly.
    Steady,
    /// One in a hundred fails, six in a row.
    Noisy,
}

impl Service {
    pub(super) const ALL: [Self; 2] = [Self::Steady, Self::Noisy];

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Steady => "A service of which one request in a thousand fails",
            Self::Noisy => "A service that fails in clusters",
        }
    }

    /// The variables of its shop. Answers take 30 ms in the middle and 110 ms at the 95th percentile: what a version adds is felt.
    fn variables(self) -> [(&'static str, &'static str); 4] {
        let (share, cluster) = match self {
            Self::Steady => ("0.001", "1"),
            Self::Noisy => ("0.01", "6"),
        };
        [
            ("SHOP_ANSWER_MS", "30"),
            ("SHOP_FAULT_AFTER", "0"),
            ("SHOP_FAULT_SHARE", share),
            ("SHOP_FAULT_CLUSTER", cluster),
        ]
    }

    /// The environment of its first task definition, if checkouts are published so often.
    pub(super) fn environment(self, publish_every: f64) -> BTreeMap<String, String> {
        let mut all = owned(&self.variables());
        all.insert("SHOP_PUBLISH_EVERY".to_owned(), publish_every.to_string());
        all
    }
}

/// What must become of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Rolled back because of this check.
    RolledBack(Check),
    /// It stays.
    Settled,
}

/// A version of the shop.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) name: &'static str,
    /// What it does, for people.
    pub(super) does: &'static str,
    pub(super) service: Service,
    pub(super) expected: Expected,
    /// What differs from the service.
    variables: &'static [(&'static str, &'static str)],
}

impl Version {
    /// Its environment: everything is named, since what is not named stays as the version before had it.
    pub(super) fn environment(&self, publish_every: f64) -> BTreeMap<String, String> {
        let mut all = owned(&[
            ("SHOP_SLOWER", "1"),
            ("SHOP_TAIL_SLOWER", "1"),
            ("SHOP_LEAK_EVERY", "0"),
            ("SHOP_LEAK_MOST", "0"),
            ("SHOP_CHECKOUTS_LOST", "0"),
        ]);
        all.extend(self.service.environment(publish_every));
        all.extend(owned(self.variables));
        all
    }
}

fn owned(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// In the order in which they are released on each service. The leak is first: the connections of an earlier release would be
/// part of what is usual.
pub(super) const VERSIONS: [Version; 8] = [
    Version {
        name: "leak",
        does: "takes a database connection with every fifth request and keeps it",
        service: Service::Steady,
        expected: Expected::RolledBack(Check::DatabaseConnections),
        variables: &[("SHOP_LEAK_EVERY", "5"), ("SHOP_LEAK_MOST", "20")],
    },
    Version {
        name: "failing",
        does: "fails one request in a hundred",
        service: Service::Steady,
        expected: Expected::RolledBack(Check::Errors),
        variables: &[("SHOP_FAULT_SHARE", "0.01")],
    },
    Version {
        name: "slow",
        does: "is twice as slow at the 95th percentile, and as fast as ever in the middle",
        service: Service::Steady,
        expected: Expected::RolledBack(Check::Latency),
        variables: &[("SHOP_TAIL_SLOWER", "2")],
    },
    Version {
        name: "checkouts",
        does: "loses half of the checkouts without a failed request",
        service: Service::Steady,
        expected: Expected::RolledBack(Check::Metrics),
        variables: &[("SHOP_CHECKOUTS_LOST", "0.5")],
    },
    Version {
        name: "same",
        does: "fails as often as the service does anyway",
        service: Service::Steady,
        expected: Expected::Settled,
        variables: &[],
    },
    Version {
        name: "tenth",
        does: "is a tenth slower and sells as much",
        service: Service::Steady,
        expected: Expected::Settled,
        variables: &[("SHOP_SLOWER", "1.1")],
    },
    Version {
        name: "noisy",
        does: "fails in clusters, as the service always did",
        service: Service::Noisy,
        expected: Expected::Settled,
        variables: &[],
    },
    Version {
        name: "better",
        does: "fails less than its predecessor",
        service: Service::Noisy,
        expected: Expected::Settled,
        variables: &[("SHOP_FAULT_SHARE", "0.001"), ("SHOP_FAULT_CLUSTER", "1")],
    },
];

/// A version that is not one of the eight.
#[derive(Debug, thiserror::Error)]
#[error("there is no such version; known are {}", VERSIONS.map(|version| version.name).join(", "))]
pub(super) struct UnknownVersion;

/// The versions of these names; all of them if none is named.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Version>, UnknownVersion> {
    if names.iter().any(|name| !VERSIONS.iter().any(|version| version.name == name)) {
        return Err(UnknownVersion);
    }
    let wanted = |version: &&Version| names.is_empty() || names.iter().any(|name| name == version.name);
    Ok(VERSIONS.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_are_bad_and_four_are_good_and_each_has_a_name_of_its_own() {
        let bad = VERSIONS.iter().filter(|version| version.expected != Expected::Settled).count();
        assert_eq!((VERSIONS.len(), bad), (8, 4));
        let names: std::collections::BTreeSet<&str> = VERSIONS.iter().map(|version| version.name).collect();
        assert_eq!(names.len(), 8);
    }

    #[test]
    fn every_version_names_what_any_other_sets() {
        let set: std::collections::BTreeSet<&str> =
            VERSIONS.iter().flat_map(|version| version.variables).map(|(name, _)| *name).collect();
        for version in &VERSIONS {
            let environment = version.environment(0.5);
            let unset: Vec<_> = set.iter().filter(|name| !environment.contains_key(**name)).collect();
            assert!(unset.is_empty(), "{}: {unset:?}", version.name);
        }
    }

    #[test]
    fn versions_are_chosen_by_name() {
        let names = |chosen: Vec<&Version>| chosen.iter().map(|version| version.name).collect::<Vec<_>>();
        assert_eq!(names(chosen(&["slow".to_owned()]).unwrap()), ["slow"]);
        assert_eq!(chosen(&[]).unwrap().len(), 8);
        assert!(chosen(&["fast".to_owned()]).unwrap_err().to_string().contains("leak, failing, slow"));
    }
}
