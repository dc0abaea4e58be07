//! `voxbatch emulator`: serves the emulated API until it is stopped, then says what it saw.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio_util::sync::CancellationToken;

use crate::emulator::{
    Contract, Emulator, Faults, Latency, ModelLimits, Report, Settings, Shape, Sockets, models,
};

/// Serve an emulated API on this machine: strict, without key, network or cost.
#[derive(Debug, Clone, clap::Args)]
pub struct EmulatorArgs {
    /// Address to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8188")]
    pub listen: SocketAddr,
    /// Allow an address that other machines can reach. Whatever they upload is taken without encryption.
    #[arg(long)]
    pub allow_remote: bool,
    /// Generation of the contract: a, b or c.
    #[arg(long, default_value = "a")]
    pub contract: Contract,
    /// Key that is let in; give it several times for several keys.
    #[arg(long, value_name = "KEY", default_value = "emulator-key")]
    pub key: Vec<String>,
    /// Requests, or streaming connections, at once, for each model.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub concurrent: u32,
    /// Audio hours in a month, for each model [default: without limit].
    #[arg(long, value_name = "HOURS", value_parser = positive)]
    pub monthly_hours: Option<f64>,
    /// Audio hours that credits pay for, over all models [default: without limit].
    #[arg(long, value_name = "HOURS", value_parser = positive)]
    pub credits_hours: Option<f64>,
    /// Model that is not enabled; give it several times for several models.
    #[arg(long, value_name = "MODEL", value_parser = clap::builder::PossibleValuesParser::new(models()))]
    pub disable: Vec<String>,
    /// Times the modelled delay is waited for: 0 answers at once, 1 is as slow as the service.
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = positive)]
    pub latency_scale: f64,
    /// Seconds of modelled time after which the service gives up with 504; 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub time_limit: u64,
    /// What goes wrong, and how often: "429=5%,503=5%,reset=2%,truncated=1%". Also 500, 502, 504, html, lost, cut,
    /// stall, stall-upload, empty; on streaming connections also midway, no-done, late-binary, disorder.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub faults: Faults,
    /// Chooses which requests meet the faults.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// How long a stall lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub stall: u64,
    /// Seconds in a Retry-After header on 429 and 503 [default: no header].
    #[arg(long, value_name = "SECONDS")]
    pub retry_after: Option<u64>,
    /// Only count uploads whose name, MIME type and content disagree, instead of refusing them.
    #[arg(long)]
    pub no_strict_mime: bool,
    /// Read bodies to their end before refusing for key, credits, hours or concurrency.
    #[arg(long)]
    pub drain: bool,
    /// Refuse streaming connections for key, access and limits as plain HTTP, not as a close code after the handshake.
    #[arg(long)]
    pub refuse_at_handshake: bool,
    /// Close refused streaming connections with a code alone, without words.
    #[arg(long)]
    pub silent_closes: bool,
    /// Let streaming and batch endpoints of a kind draw on the same limits.
    #[arg(long)]
    pub share_limits: bool,
    /// Answer with an utterance wherever a recording is loud, as if it were a name, instead of tiling it with text.
    #[arg(long)]
    pub where_loud: bool,
    /// Let file names choose what happens: busy_once-1.wav, always_500.wav, …
    #[arg(long)]
    pub script: bool,
}

impl EmulatorArgs {
    /// What was typed, as settings.
    ///
    /// # Errors
    /// When the address can be reached by others and that was not allowed.
    pub fn into_settings(self) -> anyhow::Result<Settings> {
        ensure!(
            self.listen.ip().is_loopback() || self.allow_remote,
            "refusing to listen on {}, which other machines can reach: uploads would travel unencrypted; \
             use a loopback address such as 127.0.0.1:8188, or add --allow-remote",
            self.listen
        );
        let limits = |model: &str| ModelLimits {
            concurrent: self.concurrent,
            monthly_hours: self.monthly_hours,
            enabled: !self.disable.iter().any(|disabled| disabled == model),
        };
        Ok(Settings {
            listen: self.listen,
            contract: self.contract,
            models: models().into_iter().map(|model| (model.to_owned(), limits(model))).collect(),
            keys: self.key,
            credits_hours: self.credits_hours,
            latency: Latency { scale: self.latency_scale, ..Latency::default() },
            faults: Faults {
                seed: self.seed,
                stall_for: Duration::from_secs(self.stall),
                retry_after_s: self.retry_after,
                ..self.faults
            },
            time_limit: (self.time_limit > 0).then(|| Duration::from_secs(self.time_limit)),
            strict_mime: !self.no_strict_mime,
            drain_before_refusing: self.drain,
            sockets: Sockets {
                refuse_at_handshake: self.refuse_at_handshake,
                silent_closes: self.silent_closes,
                share_with_batch: self.share_limits,
                ..Sockets::default()
            },
            shape: Shape { where_loud: self.where_loud, ..Shape::default() },
            script: self.script,
            ..Settings::default()
        })
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) && number >= 0.0 => Ok(number),
        _ => Err("must be a number that is not negative".to_owned()),
    }
}

/// Serves until `stop` is cancelled. What it says goes to stderr.
///
/// # Errors
/// When the address is refused or cannot be bound.
pub async fn run(args: EmulatorArgs, stop: CancellationToken) -> anyhow::Result<()> {
    let settings = args.into_settings()?;
    let (listen, contract) = (settings.listen, settings.contract);
    let emulator = Emulator::start(settings)
        .await
        .with_context(|| format!("failed to listen on {listen}; choose another address with --listen"))?;
    let mut said = std::io::stderr();
    writeln!(
        said,
        "emulator: {} speaks contract {contract:?}; it recognises no speech and costs nothing (stop with Ctrl-C)",
        emulator.base_url()
    )?;
    stop.cancelled().await;
    let report = emulator.report();
    emulator.stop().await;
    write!(said, "{}", summary(&report))?;
    Ok(())
}

/// What was seen, for people.
fn summary(report: &Report) -> String {
    let mut text = format!("emulator: {} requests, {} bodies\n", report.requests, report.bodies);
    for (name, model) in &report.models {
        text.push_str(&format!(
            "  {name}: {} requests, at most {} at once, {:.1} minutes billed\n",
            model.requests,
            model.peak_in_flight,
            model.billed_ms as f64 / 60_000.0
        ));
    }
    if report.peak_sockets > 0 {
        text.push_str(&format!(
            "  {} streaming connections ended, at most {} were open at once\n",
            report.sockets.len(),
            report.peak_sockets
        ));
    }
    let refusals: Vec<_> = report.refusals.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    if !refusals.is_empty() {
        text.push_str(&format!("  refused: {}\n", refusals.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: EmulatorArgs,
    }

    fn typed(words: &[&str]) -> Result<Settings, String> {
        let typed =
            Typed::try_parse_from([&["emulator"], words].concat()).map_err(|error| error.to_string())?;
        typed.args.into_settings().map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_typed_means_the_strict_and_instant_defaults() {
        let settings = typed(&[]).unwrap();
        let models = settings.models.clone();
        assert!(models.values().all(|limits| *limits == ModelLimits::default()));
        let listen = "127.0.0.1:8188".parse().unwrap();
        assert_eq!(settings, Settings { listen, models, ..Settings::default() });
    }

    #[test]
    fn a_reachable_address_has_to_be_allowed() {
        assert!(typed(&["--listen", "0.0.0.0:80"]).unwrap_err().contains("--allow-remote"));
        assert!(typed(&["--listen", "0.0.0.0:80", "--allow-remote"]).is_ok());
        assert!(typed(&["--listen", "[::1]:80"]).is_ok());
    }

    #[test]
    fn what_is_typed_arrives() {
        let settings = typed(&[
            "--contract=b",
            "--key=x",
            "--key=y",
            "--concurrent=2",
            "--monthly-hours=0.5",
            "--faults=429=5%,reset=2%",
            "--seed=7",
            "--retry-after=3",
            "--no-strict-mime",
            "--script",
            "--drain",
            "--disable=velma-2-batch",
            "--disable=velma-2-stt-streaming",
            "--silent-closes",
            "--share-limits",
            "--latency-scale=0.1",
            "--time-limit=0",
        ])
        .unwrap();
        assert_eq!((settings.contract, settings.keys.len()), (Contract::B, 2));
        let limits = settings.limits("velma-2-stt-batch");
        assert_eq!((limits.concurrent, limits.monthly_hours, limits.enabled), (2, Some(0.5), true));
        assert!(!settings.limits("velma-2-batch").enabled);
        assert!(!settings.limits("velma-2-stt-streaming").enabled);
        let sockets = settings.sockets;
        assert_eq!(
            (sockets.silent_closes, sockets.share_with_batch, sockets.refuse_at_handshake),
            (true, true, false)
        );
        let faults = &settings.faults;
        assert_eq!((faults.rate_429, faults.reset_before_body, faults.seed), (0.05, 0.02, 7));
        assert_eq!((faults.retry_after_s, settings.time_limit), (Some(3), None));
        assert!(!settings.strict_mime && settings.script && settings.drain_before_refusing);
    }

    #[test]
    fn mistyped_numbers_and_names_are_refused() {
        for words in ["--latency-scale=-1", "--faults=429=9", "--contract=d", "--disable=velma-3"] {
            assert!(typed(&[words]).is_err(), "{words}");
        }
    }

    #[test]
    fn connections_are_summed_up_only_if_there_were_any() {
        let mut report = Report::default();
        assert_eq!(summary(&report), "emulator: 0 requests, 0 bodies\n");
        report.peak_sockets = 2;
        report.sockets = vec![Default::default(); 3];
        assert!(summary(&report).contains("  3 streaming connections ended, at most 2 were open at once\n"));
    }

    #[tokio::test]
    async fn it_runs_until_it_is_stopped() {
        let stop = CancellationToken::new();
        stop.cancel();
        let args = Typed::try_parse_from(["emulator", "--listen=127.0.0.1:0"]).unwrap().args;
        run(args, stop).await.unwrap();
    }
}
