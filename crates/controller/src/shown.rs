//! Where a release's status goes besides this process's own page: the status parameter, and the ledger, where daemons that follow find it.
//!
//! Called at the end of a pass. What cannot be written changes nothing of what is done.

use std::time::Duration;

use jiff::SignedDuration;
use tidegate_aws::ActError;
use tidegate_model::{ReleaseName, status::ReleaseStatus};

use crate::{
    pass::{Core, chain_of},
    status_parameter,
    track::Tracked,
};

/// What must be left of a lease for the parameter to be written: as long as that takes.
const WRITING: Duration = Duration::from_secs(10);

/// A write with an unknown outcome may land for so long, in the place of a newer one, and so may one of who led before and died: then the
/// parameter is written once more. Source: AWS refuses a signed request five minutes after its date.
const MAY_LAND: SignedDuration = SignedDuration::from_mins(5);

/// Writes the status parameter if it shows another transition, and this process leads the release: another one would be contradicted. A
/// failure is told once and tried again next pass.
pub(crate) async fn write_status(core: &Core, release: &ReleaseName, tracked: &mut Tracked) {
    let Some(status) = &tracked.status else { return };
    if core.ledger.leads_for(release, WRITING).is_none() {
        return;
    }
    let now = core.clock.now();
    let transition = status_parameter::transition(status);
    let may_have_landed = tracked.write_in_doubt.is_some_and(|since| now >= since + MAY_LAND);
    if tracked.written.as_ref() == Some(&transition) && !may_have_landed {
        return;
    }
    let text = status_parameter::text(status);
    match core.executor.aws.write_status(release, &text).await {
        Ok(()) => {
            let first = tracked.written.replace(transition).is_none();
            tracked.write_failing = false;
            let in_doubt = tracked.write_in_doubt.filter(|_| !may_have_landed);
            tracked.write_in_doubt = in_doubt.or(first.then_some(now));
        }
        Err(error) => {
            if matches!(error, ActError::InDoubt { .. }) {
                tracked.write_in_doubt = Some(now);
            }
            if !std::mem::replace(&mut tracked.write_failing, true) {
                tracing::warn!(error = chain_of(&error), "the status parameter cannot be written");
            }
        }
    }
}

/// Keeps what is published for the daemons that follow. They show an older one if it fails, and say how old it is.
pub(crate) async fn tell_followers(core: &Core, release: &ReleaseName, status: Option<&ReleaseStatus>) {
    let document = status.and_then(|status| serde_json::to_string(status).ok());
    if let Err(error) = core.ledger.publish(release, document.as_deref()).await {
        tracing::debug!(%release, error = chain_of(&error), "the status is not kept for other daemons");
    }
}

/// What the leader of a release last told, as this process shows it. None before that, and for another version's document.
pub(crate) async fn told_by(core: &Core, release: &ReleaseName, leader: &str) -> Option<ReleaseStatus> {
    let document = match core.ledger.published(release).await {
        Ok(document) => document?,
        Err(error) => {
            tracing::warn!(%release, error = chain_of(&error), "the ledger cannot be asked for the leader's status");
            return None;
        }
    };
    let status: ReleaseStatus = serde_json::from_str(&document).ok()?;
    Some(ReleaseStatus { led_by: Some(leader.to_owned()), ..status })
}
