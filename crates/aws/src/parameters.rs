//! Parameter Store: specs, orders, migration files, and the status that is written back.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{Parameter, ParameterType};
use futures_util::FutureExt;
use jiff::Timestamp;
use tidegate_model::{
    Fact, ParameterVersion, ReleaseName, Why,
    orders::{Orders, ParameterRead},
};

use crate::{ActError, Aws, ReadError, budget::Bucket, call::Operation, error::Failure};

/// Names in one GetParameters call. Source: the SSM model.
const NAMES_A_CALL: usize = 10;

/// A status longer than this does not fit a standard parameter.
const STATUS_BYTES: usize = 4 * 1024;

const BY_PATH: Operation = Operation { service: "ssm", name: "GetParametersByPath", bucket: Bucket::SsmRead };
const GET: Operation = Operation { service: "ssm", name: "GetParameters", bucket: Bucket::SsmRead };
const PUT: Operation = Operation { service: "ssm", name: "PutParameter", bucket: Bucket::SsmWrite };

/// What is read of each release in one call, so that spec and orders are never of different instants.
const OF_RELEASE: [&str; 4] = ["spec", "hold", "abort", "approve/contract"];

impl Aws {
    /// Every release that has a parameter under the prefix.
    ///
    /// # Errors
    /// If any page cannot be read: a partial list would make releases vanish.
    pub async fn releases(&self) -> Result<BTreeSet<ReleaseName>, ReadError> {
        let names =
            self.below(&self.prefix).await?.into_iter().map(|parameter| parameter.name.unwrap_or_default());
        let release =
            |name: String| name.strip_prefix(&format!("{}/", self.prefix))?.split('/').next()?.parse().ok();
        Ok(names.filter_map(release).collect())
    }

    /// Every parameter below a path, all pages; a page may be empty and still carry a token.
    async fn below(&self, path: &str) -> Result<Vec<Parameter>, ReadError> {
        let mut all = vec![];
        let mut token: Option<String> = None;
        loop {
            let request = self
                .read
                .ssm
                .get_parameters_by_path()
                .path(path)
                .recursive(true)
                .set_next_token(token.take());
            let page = self
                .calls
                .call(BY_PATH, request.send())
                .await
                .map_err(|f| ReadError::new(BY_PATH.name, f))?;
            all.extend(page.parameters.unwrap_or_default());
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// Spec and orders of each release; what a complete answer does not name is absent, what could not be read is unknown.
    pub async fn parameters(
        &self,
        releases: &BTreeSet<ReleaseName>,
    ) -> BTreeMap<ReleaseName, (Fact<ParameterRead>, Orders)> {
        // The fleet's hold takes one place in each call; whole releases share the rest.
        let each = (NAMES_A_CALL - 1) / OF_RELEASE.len();
        let all: Vec<&ReleaseName> = releases.iter().collect();
        let mut reads = vec![];
        for chunk in all.chunks(each) {
            reads.push(self.parameters_of(chunk).boxed());
        }
        futures_util::future::join_all(reads).await.into_iter().flatten().collect()
    }

    async fn parameters_of(
        &self,
        releases: &[&ReleaseName],
    ) -> Vec<(ReleaseName, (Fact<ParameterRead>, Orders))> {
        let fleet = format!("{}/_fleet/hold", self.prefix);
        let name = |release: &ReleaseName, tail: &str| format!("{}/{release}/{tail}", self.prefix);
        let of_release = |release: &&ReleaseName| OF_RELEASE.map(|tail| name(release, tail)).to_vec();
        let found = self.facts(releases.iter().map(of_release).chain([vec![fleet.clone()]]).collect()).await;
        let fact = |asked: &str| found.get(asked).cloned().unwrap_or_default();
        releases
            .iter()
            .map(|release| {
                let orders = Orders {
                    hold: fact(&name(release, "hold")),
                    fleet_hold: fact(&fleet),
                    abort: fact(&name(release, "abort")),
                    approve_contract: fact(&name(release, "approve/contract")),
                };
                ((*release).clone(), (fact(&name(release, "spec")), orders))
            })
            .collect()
    }

    /// Each of these parameters, in one call. One that may not be read, or cannot be decrypted, fails a call for all that it names: each
    /// part is asked for on its own then, so that no release loses sight of its orders for another's secret.
    async fn facts(&self, parts: Vec<Vec<String>>) -> BTreeMap<String, Fact<ParameterRead>> {
        let unknown = |names: Vec<String>, failure: &Failure| {
            names.into_iter().map(|name| (name, Fact::Unknown(failure.why()))).collect()
        };
        let names = parts.concat();
        match self.facts_at_once(&names).await {
            Ok(facts) => facts,
            Err(failure) if failure.is_refusal() => {
                let part = async |names: Vec<String>| {
                    let facts = self.facts_at_once(&names).await;
                    facts.unwrap_or_else(|failure| unknown(names, &failure))
                };
                futures_util::future::join_all(parts.into_iter().map(part))
                    .await
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Err(failure) => unknown(names, &failure),
        }
    }

    async fn facts_at_once(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, Fact<ParameterRead>>, Failure> {
        let request = self.read.ssm.get_parameters().set_names(Some(names.to_vec())).with_decryption(true);
        let output = self.calls.call(GET, request.send()).await?;
        let invalid = output.invalid_parameters.unwrap_or_default();
        let found: BTreeMap<String, Parameter> = output
            .parameters
            .unwrap_or_default()
            .into_iter()
            .filter_map(|parameter| Some((parameter.name.clone()?, parameter)))
            .collect();
        let fact = |asked: &String| match found.get(asked) {
            Some(parameter) => read(parameter),
            None if invalid.contains(asked) => Fact::Absent,
            // Neither found nor named as missing: a partial answer proves nothing.
            None => Fact::Unknown(Why::Malformed),
        };
        Ok(names.iter().map(|name| (name.clone(), fact(name))).collect())
    }

    /// The migration files that stand in the release's own parameters, by file name.
    pub async fn schema_files(&self, release: &ReleaseName) -> Fact<BTreeMap<String, String>> {
        let path = format!("{}/{release}/schema", self.prefix);
        match self.below(&path).await {
            Err(error) => error.unknown(),
            Ok(parameters) if parameters.is_empty() => Fact::Absent,
            Ok(parameters) => Fact::Known(
                parameters
                    .into_iter()
                    .filter(|parameter| parameter.r#type != Some(ParameterType::SecureString))
                    .filter_map(|p| {
                        Some((p.name?.strip_prefix(&path)?.trim_start_matches('/').to_owned(), p.value?))
                    })
                    .collect(),
            ),
        }
    }

    /// Writes the status parameter.
    ///
    /// # Errors
    /// As AWS answers; the controller logs it and goes on, because a status never stops a release.
    pub async fn write_status(&self, release: &ReleaseName, text: &str) -> Result<(), ActError> {
        if text.len() > STATUS_BYTES {
            return Err(ActError::Refused { code: "StatusTooLong".to_owned(), retry: false });
        }
        let request = self
            .write
            .ssm
            .put_parameter()
            .name(format!("{}/{release}/status", self.prefix))
            .value(text)
            .r#type(ParameterType::String)
            .overwrite(true);
        self.calls.call(PUT, request.send()).await.map(drop).map_err(Failure::into_act)
    }
}

fn read(parameter: &Parameter) -> Fact<ParameterRead> {
    let modified = parameter.last_modified_date.and_then(|time| instant(&time));
    match (&parameter.value, u64::try_from(parameter.version), modified) {
        (Some(text), Ok(version), Some(modified)) if version > 0 => {
            Fact::Known(ParameterRead { text: text.clone(), version: ParameterVersion(version), modified })
        }
        _ => Fact::Unknown(Why::Malformed),
    }
}

/// An SDK time as an instant.
pub(crate) fn instant(time: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.to_millis().ok()?).ok()
}
