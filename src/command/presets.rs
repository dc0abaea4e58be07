//! `presets`: the behaviors that the API has ready; and the look at those that jobs name, before a run spends money.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::audit::{Audit, of_halt};
use super::console::Console;
use super::context::{self, now};
use super::exit::Exit;
use super::problem::Trouble;
use crate::audit::Kind;
use crate::config::Overrides;
use crate::queue::TaskStore;
use crate::report::{Problem, plural};
use crate::task::{
    Answers, Doubt, Endpoint, Evidence, Failure, HaltOrder, HaltReason, Job, Probe, Ruling, Verdict,
    WorkerId, examine,
};
use crate::velma::{Client, Options, Preset, nearest_preset};

/// List the behaviors that conversation analysis has ready; a free call
#[derive(Debug, clap::Args)]
#[command(after_help = "In a job: options.config = { behaviors = [\"preset:complaints\", …] }")]
pub(super) struct PresetsArgs {
    /// Only those with this word in their identifier, name or description
    pub(super) word: Option<String>,
    /// As JSON Lines, with their long descriptions
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs the verb.
pub(super) async fn presets(args: &PresetsArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let config = context::load(overrides)?;
    let client = Client::new(config.velma()?)?;
    let all = match client.presets(Endpoint::Batch).await {
        Ok(presets) => presets,
        Err(verdict) => return Err(unavailable(&verdict, &config.api.base_url).into()),
    };
    let found: Vec<&Preset> = match &args.word {
        Some(word) => all.iter().filter(|preset| speaks_of(preset, word)).collect(),
        None => all.iter().collect(),
    };
    if args.json {
        for p in &found {
            let preset = json!({
                "identifier": p.identifier, "name": p.name,
                "short_description": p.short_description, "detailed_description": p.detailed_description,
            });
            console.say(&preset.to_string());
        }
        return Ok(Exit::Done);
    }
    // Two lines each: identifiers are long, and descriptions are longer.
    for preset in &found {
        console.say(&clean(&format!("preset:{}", preset.identifier)));
        console.say(&clean(&format!("    {}", preset.short_description)));
    }
    console.note(&match &args.word {
        Some(word) => {
            format!("{} of {} with `{word}`", found.len(), plural(all.len() as u64, "preset", "presets"))
        }
        None => plural(all.len() as u64, "preset", "presets"),
    });
    Ok(Exit::Done)
}

/// The API's words, fit for a terminal.
fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn speaks_of(preset: &Preset, word: &str) -> bool {
    let word = word.to_lowercase();
    [&preset.identifier, &preset.name, &preset.short_description, &preset.detailed_description]
        .iter()
        .any(|text| text.to_lowercase().contains(&word))
}

fn unavailable(verdict: &Verdict, base_url: &str) -> Trouble {
    let exit = match settled(verdict) {
        Some(HaltReason::Credits) => Exit::Limit,
        Some(_) => Exit::NoAccess,
        None if matches!(verdict, Verdict::Unclear(..) | Verdict::Halted(..)) => Exit::NoAccess,
        None => Exit::Unusable,
    };
    let problem = Problem::new("E-API-PRESETS", "failed to get the list of presets")
        .why(format!("{base_url} says: {}", evidence(verdict)))
        .state("nothing was sent or billed");
    Trouble { problem, exit }
}

/// Holds the presets that jobs name against the API's list, once, before anything is sent. A list that is not to be had
/// blocks nothing, but what that says of the key or the credits is a halt: it is returned, for the run to begin with.
///
/// # Errors
/// Presets that the API does not have; exit 2.
pub(super) async fn check(jobs: &[Job], client: &Client, console: &Console) -> Result<Option<HaltOrder>> {
    let mut named = Vec::new();
    for job in jobs.iter().filter(|job| job.endpoint.answers() == Answers::Conversation) {
        let options = Options::parse(job.endpoint, &job.options)?;
        named.extend(options.presets().iter().map(|preset| (job, preset.clone())));
    }
    // The list is the same for all that analyse: one call, by the first that needs it.
    let Some(endpoint) = named.first().map(|(job, _)| job.endpoint) else { return Ok(None) };
    let presets = match client.presets(endpoint).await {
        Ok(presets) => presets,
        Err(verdict) => {
            let evidence = evidence(&verdict);
            let Some(reason) = settled(&verdict) else {
                let what =
                    format!("presets were not checked: {evidence}; the API checks them with each recording");
                console.note(&what);
                return Ok(None);
            };
            return Ok(Some(HaltOrder { scope: reason.scope(endpoint), reason, evidence }));
        }
    };
    let is_known = |id: &str| presets.iter().any(|preset| preset.identifier == id);
    let mut unknown = named.iter().filter(|(_, named)| !is_known(&named.id)).peekable();
    if unknown.peek().is_none() {
        return Ok(None);
    }
    let mut problem = Problem::new("E-CONF-PRESET", "a job names a preset that the API does not have");
    for (job, named) in unknown {
        let near = nearest_preset(&named.id, &presets);
        let hint = near.map(|near| format!("; did you mean `preset:{near}`?")).unwrap_or_default();
        problem = problem
            .why(format!("option `{}` of job \"{}\": `preset:{}`{hint}", named.key, job.name, named.id));
    }
    let problem =
        problem.mend("voxbatch presets", "lists those that there are").state("nothing was sent or billed");
    Err(Trouble { problem, exit: Exit::Usage }.into())
}

/// Stores the halt that a free call has shown. That call was its probe: no recording is sent to learn the same.
pub(super) async fn stop(
    order: HaltOrder,
    store: &dyn TaskStore,
    worker: &WorkerId,
    audit: &Audit,
) -> Result<()> {
    let (scope, reason) = (order.scope, order.reason);
    if store.raise_halt(order, None, worker.0.clone(), now()).await? {
        audit.write(Kind::HaltRaised, of_halt(scope, reason)).await?;
    }
    for halt in store.halts(true, now()).await? {
        if (halt.scope, halt.reason) == (scope, reason) {
            store.take_probe(halt.id, Duration::ZERO, now()).await?;
        }
    }
    Ok(())
}

/// What a refusal of the free call settles about the account. An opaque one can mean the key, or only this model, and
/// is left to the first recordings: they are refused as well, at no cost, and the experiment tells.
fn settled(verdict: &Verdict) -> Option<HaltReason> {
    match verdict {
        Verdict::Halted(
            reason @ (HaltReason::Credits | HaltReason::KeyRefused | HaltReason::ModelNotEnabled),
            _,
        ) => Some(*reason),
        Verdict::Unclear(Doubt::Key, failure) => {
            let seen = Evidence { probe: Some(Probe::Refused), ..Evidence::default() };
            match examine(Doubt::Key, failure.clone(), seen) {
                Ruling::Settled(Verdict::Halted(reason, _)) => Some(reason),
                _ => None,
            }
        }
        _ => None,
    }
}

fn evidence(verdict: &Verdict) -> String {
    verdict.failure().map(Failure::evidence).unwrap_or_default()
}
