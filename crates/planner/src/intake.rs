//! What people ask: orders and spec, taken in at the head of every decision. Nothing here acts; it journals what is
//! accepted, refused or ignored.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate_model::{
    Digest, Fact, ParameterVersion,
    ledger::{Accepted, Entry, Refused, RolloutEnd, RolloutPhase},
    orders::{ParameterRead, read_abort, read_approval},
    revision::{RevisionArn, TaskDefinition},
    schema::ChangePlan,
    spec::{self, Code, Problem, RevisionSpec, Spec},
    waiting::Held,
};

use crate::{change, draft::Draft, rollout};

/// A spec that is absent for less than this is being replaced: a tool that deletes it and writes it anew must wait 30 s in between
/// (Parameter Store). Giving a release up forgets what failed and what can be brought back.
const ABSENT_FOR: SignedDuration = SignedDuration::from_mins(2);

/// Takes hold and abort in, and tells what is wrong with an approval before anything asks for one.
pub(crate) fn take_orders(draft: &mut Draft<'_>) {
    take_hold(draft);
    take_abort(draft);
    if let Fact::Known(order) = &draft.seen.orders.approve_contract
        && let Err(problems) = read_approval(&order.text)
    {
        tell_problems(draft, "approve/contract", problems);
    }
}

/// Shows what is wrong with an order beside what is wrong with the spec: paths begin with the order's name.
fn tell_problems(draft: &mut Draft<'_>, order: &str, problems: Vec<Problem>) {
    let named = |problem: Problem| Problem { path: format!("{order}:{}", problem.path), ..problem };
    draft.order_problems.extend(problems.into_iter().map(named));
}

fn take_hold(draft: &mut Draft<'_>) {
    let orders = &draft.seen.orders;
    let present = orders.hold.known().is_some() || orders.fleet_hold.known().is_some();
    let absent = orders.hold.is_absent() && orders.fleet_hold.is_absent();
    match draft.state.hold {
        None if present => draft.note(Entry::Hold { present: true }),
        Some(hold) if present && hold.absent_reads > 0 => draft.note(Entry::Hold { present: true }),
        Some(_) if absent => {
            draft.note(Entry::Hold { present: false });
            draft.look_in(1);
        }
        None | Some(_) => {}
    }
}

/// An abort counts if it names the version in flight or in force and was written after that version. A malformed one, or
/// one that names a version nobody knows, acts as a hold; an older one is stale and only told.
fn take_abort(draft: &mut Draft<'_>) {
    let Fact::Known(order) = draft.seen.orders.abort.clone() else { return };
    let version = match read_abort(&order.text) {
        Ok(version) => version,
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            draft.unmatched_abort = Some(format!("the abort is malformed: {first}"));
            tell_problems(draft, "abort", problems);
            return;
        }
    };
    let in_flight = draft.state.rollout.as_ref().map(|r| (r.start.spec.version, r.start.spec.modified));
    let in_force = draft.state.accepted.as_ref().map(|a| (a.version, a.modified));
    let newest = in_flight.into_iter().chain(in_force).map(|(v, _)| v).max();
    let named = in_flight.into_iter().chain(in_force).find(|(v, _)| *v == version);
    match named {
        // Written in the same instant, it wins.
        Some((_, modified)) if order.modified >= modified => draft.abort = Some(version),
        Some(_) => ignore(draft, "abort", &order, "it is older than the spec version that it names"),
        None if newest.is_some_and(|newest| version < newest) => {
            ignore(
                draft,
                "abort",
                &order,
                "it names a spec version that is neither in flight nor in force any more",
            );
        }
        None => {
            draft.unmatched_abort = Some(format!(
                "the abort names spec version {version}, which is neither in flight nor in force"
            ));
        }
    }
}

/// Tells once, for each writing of an order, that it does not count.
pub(crate) fn ignore(draft: &mut Draft<'_>, order: &str, read: &ParameterRead, why: &str) {
    if draft.state.ignored.get(order) == Some(&(read.version, read.modified)) {
        return;
    }
    draft.note(Entry::OrderIgnored {
        order: order.to_owned(),
        version: read.version,
        modified: read.modified,
        why: why.to_owned(),
    });
}

/// Takes the spec in: accepts it with everything pinned, refuses it whole, or holds because it is gone.
pub(crate) fn take_spec(draft: &mut Draft<'_>) {
    match draft.seen.spec.clone() {
        Fact::Known(read) => {
            if draft.state.spec_absent.is_some() {
                draft.note(Entry::SpecAbsent { absent: false });
            }
            consider(draft, &read);
        }
        Fact::Absent => gone(draft),
        Fact::Unknown(why) => {
            let sentence = format!("the spec could not be read: {}", why.as_str());
            draft.spec_unread = Some(sentence);
            if draft.state.accepted.is_some() {
                draft.unobserved("the spec", why.as_str());
            }
        }
    }
}

fn gone(draft: &mut Draft<'_>) {
    let in_flight = draft.state.rollout.is_some();
    let change_open = draft.state.change.as_ref().is_some_and(tidegate_model::ledger::ChangeState::is_open);
    if draft.state.accepted.is_none() {
        return;
    }
    draft.spec_unread = Some("the spec parameter is gone".into());
    if in_flight || change_open {
        draft.held(Held::SpecGone, "the spec parameter is gone while a rollout or a change is open".into());
    } else {
        gone_at_rest(draft);
    }
}

fn gone_at_rest(draft: &mut Draft<'_>) {
    match draft.state.spec_absent {
        Some(since) if draft.now >= since + ABSENT_FOR => {
            draft.note(Entry::Unmanaged);
            draft.spec_unread = None;
            return;
        }
        Some(_) => {}
        None => draft.note(Entry::SpecAbsent { absent: true }),
    }
    let message = "the spec parameter is gone; if it stays so, the release is not managed any more";
    draft.held(Held::SpecGone, message.into());
    draft.look_in(30);
}

fn consider(draft: &mut Draft<'_>, read: &ParameterRead) {
    if is_known(draft, read.version, read.modified) || is_stale(draft, read) {
        return;
    }
    if is_aborted_as_blue_goes(draft) {
        draft.spec_unread =
            Some(format!("spec version {} is accepted once the abort is carried out", read.version));
        return;
    }
    match spec::read(&read.text) {
        Err(problems) => refuse(draft, read, problems),
        Ok(spec) if draft.state.accepted.as_ref().is_some_and(|a| a.spec.service != spec.service) => {
            let problem = Misfit {
                code: Code::Conflict,
                path: "service",
                message: "a release keeps its service".into(),
                remedy: "release another service under another name",
            };
            refuse(draft, read, vec![problem.at_its_place(&read.text)]);
        }
        Ok(spec) => match pin(draft, &spec) {
            Ok(pinned) => accept(draft, read, spec, pinned),
            Err(NotPinned::Refused(problems)) => {
                let problems = problems.into_iter().map(|problem| in_spec(problem, &read.text)).collect();
                refuse(draft, read, problems);
            }
            Err(NotPinned::Misfit(problem)) => refuse(draft, read, vec![problem.at_its_place(&read.text)]),
            Err(NotPinned::Unread(what)) => {
                draft.spec_unread =
                    Some(format!("spec version {} is not accepted yet: {what}", read.version));
                draft.unobserved("what the spec rests on", &what);
            }
        },
    }
}

/// True if an abort waits until blue is gone. It names the version in flight, and would name nothing any more if that were replaced.
/// Where something newer is under way already, blue has gone and the abort is of no account any more: the ledger is an older copy.
fn is_aborted_as_blue_goes(draft: &Draft<'_>) -> bool {
    let retiring = draft.state.rollout.as_ref().filter(|rollout| rollout.phase == RolloutPhase::Retiring);
    let active = draft.seen.deployments.known().and_then(|all| rollout::in_progress(all));
    retiring.is_some_and(|rollout| {
        draft.abort == Some(rollout.start.spec.version)
            && !active.is_some_and(|active| rollout::brings_newer(draft, rollout, active))
    })
}

fn is_known(draft: &Draft<'_>, version: ParameterVersion, modified: Timestamp) -> bool {
    let accepted = draft.state.accepted.as_ref().map(|a| (a.version, a.modified));
    let refused = draft.state.refused.as_ref().map(|r| (r.version, r.modified));
    [accepted, refused].contains(&Some((version, modified)))
}

/// A version older than one already seen in the same incarnation is a stale read. A lower version that was written later
/// is a new incarnation: the parameter was deleted and made again.
fn is_stale(draft: &Draft<'_>, read: &ParameterRead) -> bool {
    let accepted = draft.state.accepted.as_ref().map(|a| a.modified);
    let refused = draft.state.refused.as_ref().map(|r| r.modified);
    accepted.into_iter().chain(refused).any(|modified| read.modified < modified)
}

fn refuse(draft: &mut Draft<'_>, read: &ParameterRead, problems: Vec<Problem>) {
    draft.note(Entry::Refused(Refused { version: read.version, modified: read.modified, problems }));
}

fn accept(draft: &mut Draft<'_>, read: &ParameterRead, spec: Spec, pinned: Pinned) {
    let in_flight = |draft: &Draft<'_>| draft.state.rollout.as_ref().map(|r| r.start.spec.version);
    let aborted = draft.abort.is_some() && draft.abort == in_flight(draft);
    draft.note(Entry::Accepted(Box::new(Accepted {
        version: read.version,
        modified: read.modified,
        digest: Digest::of(&read.text),
        text: read.text.clone(),
        spec,
        base: pinned.base,
        desired: Digest::of_json(&pinned.content),
        content: pinned.content,
        plan: pinned.plan,
    })));
    // The rollout may go by the new version now (another bake); the abort was of this rollout all the same.
    if aborted {
        draft.abort = in_flight(draft);
    }
}

/// What is fixed when a spec is accepted.
struct Pinned {
    base: RevisionArn,
    content: Value,
    plan: Option<ChangePlan>,
}

enum NotPinned {
    /// The spec cannot be accepted as it is.
    Misfit(Misfit),
    /// The migration files cannot be accepted as they are.
    Refused(Vec<Problem>),
    /// Something that must be pinned could not be read; it is tried again.
    Unread(String),
}

fn pin(draft: &Draft<'_>, spec: &Spec) -> Result<Pinned, NotPinned> {
    let plan = pin_plan(draft, spec)?;
    let (base, content) = pin_revision(draft, spec)?;
    Ok(Pinned { base, content, plan })
}

fn pin_plan(draft: &Draft<'_>, spec: &Spec) -> Result<Option<ChangePlan>, NotPinned> {
    let Some(schema) = &spec.schema else { return Ok(None) };
    let plan = match &draft.seen.plan {
        Fact::Known(Ok(plan)) => plan.clone(),
        Fact::Known(Err(problems)) => return Err(NotPinned::Refused(problems.clone())),
        Fact::Absent => {
            return Err(refused(
                Code::SourceUnreadable,
                "schema.source",
                "there are no migration files",
                "name a folder with migration files",
            ));
        }
        Fact::Unknown(why) => return Err(NotPinned::Unread(format!("migration source: {}", why.as_str()))),
    };
    let opened = draft.state.change.as_ref().filter(|change| change.opened.plan.change == schema.change);
    let Some(changed) = opened.filter(|change| change.opened.plan.files != plan.files) else {
        return Ok(Some(plan));
    };
    match change::may_be_mended(draft, changed, &plan) {
        Some(true) => Ok(Some(plan)),
        Some(false) => Err(refused(
            Code::FilesDisagree,
            "schema.source",
            "files that the database has, or that belong to an expanded or finished change, are immutable and have changed",
            "restore the text that was accepted, or give what is new another change name",
        )),
        None => Err(NotPinned::Unread("what the database has of the open change".into())),
    }
}

fn pin_revision(draft: &Draft<'_>, spec: &Spec) -> Result<(RevisionArn, Value), NotPinned> {
    match &spec.revision {
        RevisionSpec::TaskDefinition(exact) => {
            let found = task_definition(draft, &exact.task_definition, "revision.taskDefinition")?;
            if !found.active {
                return Err(refused(
                    Code::BadValue,
                    "revision.taskDefinition",
                    "the revision is deregistered",
                    "name an ACTIVE revision",
                ));
            }
            Ok((found.arn.clone(), found.content.clone()))
        }
        RevisionSpec::Image(image) => {
            let serving = serving_revision(draft)?;
            let base = task_definition(draft, &serving.0, "revision")?;
            if !base.unknown_members.is_empty() {
                let message =
                    "the serving task definition has members that this version does not know and would drop";
                return Err(refused(
                    Code::NotYet,
                    "revision",
                    message,
                    "register the revision yourself and name it as taskDefinition",
                ));
            }
            let content = base.overlaid(&image.overlay()).map_err(|error| {
                refused(
                    Code::BadValue,
                    "revision.container",
                    &error.to_string(),
                    "name a container of the serving task definition",
                )
            })?;
            Ok((base.arn.clone(), content))
        }
    }
}

fn serving_revision(draft: &Draft<'_>) -> Result<RevisionArn, NotPinned> {
    match &draft.seen.service {
        Fact::Known(service) => service
            .primary()
            .map(|set| set.revision.clone())
            .ok_or_else(|| NotPinned::Unread("the service has no primary task set".into())),
        Fact::Absent => Err(refused(
            Code::BadValue,
            "service",
            "the cluster has no service of this name",
            "name an existing service",
        )),
        Fact::Unknown(why) => Err(NotPinned::Unread(format!("service: {}", why.as_str()))),
    }
}

fn task_definition<'d>(
    draft: &'d Draft<'_>,
    asked: &str,
    path: &'static str,
) -> Result<&'d TaskDefinition, NotPinned> {
    match draft.seen.revisions.get(asked) {
        Some(Fact::Known(found)) => Ok(found),
        Some(Fact::Absent) => Err(refused(
            Code::BadValue,
            path,
            "there is no such task definition",
            "name an existing revision",
        )),
        Some(Fact::Unknown(why)) => Err(NotPinned::Unread(format!("task definition: {}", why.as_str()))),
        None => Err(NotPinned::Unread("task definition: it was not asked for".into())),
    }
}

/// What does not fit the world in a spec that is valid by itself.
struct Misfit {
    code: Code,
    path: &'static str,
    message: String,
    remedy: &'static str,
}

impl Misfit {
    fn at_its_place(self, text: &str) -> Problem {
        let (line, column) = spec::place(text, self.path);
        let Self { code, path, message, remedy } = self;
        Problem { line, column, code, path: path.to_owned(), message, remedy: remedy.to_owned() }
    }
}

/// A problem of the migration source as a whole is one of the spec's `schema.source`; one of a file keeps its place.
fn in_spec(problem: Problem, text: &str) -> Problem {
    if problem.path != "source" {
        return problem;
    }
    let path = "schema.source";
    let (line, column) = spec::place(text, path);
    Problem { line, column, path: path.to_owned(), ..problem }
}

fn refused(code: Code, path: &'static str, message: &str, remedy: &'static str) -> NotPinned {
    NotPinned::Misfit(Misfit { code, path, message: message.to_owned(), remedy })
}

/// True if the revision that the spec in force asks for failed under exactly this writing of the spec.
pub(crate) fn failed_under(draft: &Draft<'_>, accepted: &Accepted) -> Option<RolloutEnd> {
    draft
        .state
        .failed
        .iter()
        .find(|f| {
            f.desired == accepted.desired && f.version == accepted.version && f.modified == accepted.modified
        })
        .map(|f| RolloutEnd::RolledBack(f.cause.clone()))
}
