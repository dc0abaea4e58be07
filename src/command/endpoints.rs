//! `endpoints`: what each of them takes, returns, costs and is limited to. Needs no network, and no configuration but for
//! prices of one's own.

use serde_json::json;

use super::console::Console;
use super::context;
use super::exit::Exit;
use crate::config::Overrides;
use crate::media::{self, MediaSettings};
use crate::report::bytes;
use crate::task::{Endpoint, Facts, Prices};
use crate::velma::Options;

/// Where lines end.
const WIDTH: usize = 80;

/// List the endpoints: what each takes, returns and costs
#[derive(Debug, clap::Args)]
pub(super) struct EndpointsArgs {
    /// Only those with this word in their name or in what they return
    word: Option<String>,
    /// As JSON Lines
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn endpoints(args: &EndpointsArgs, overrides: &Overrides, console: &Console) -> Exit {
    // Whoever has no jobs.toml yet looks here first.
    let prices = context::load(overrides).map(|config| config.prices).unwrap_or_default();
    let word = args.word.as_deref().unwrap_or_default().to_lowercase();
    let is_meant = |facts: &Facts| facts.name.contains(&word) || facts.returns.to_lowercase().contains(&word);
    let meant: Vec<Endpoint> = Endpoint::ALL.into_iter().filter(|e| is_meant(&e.facts())).collect();
    if args.json {
        meant.iter().for_each(|endpoint| console.say(&as_object(*endpoint, &prices).to_string()));
        return Exit::Done;
    }
    meant.iter().for_each(|endpoint| console.say(&block(*endpoint, &prices)));
    match meant.is_empty() {
        true => console.note(&format!("no endpoint speaks of `{word}`")),
        false => console.note(&format!(
            "Prices are US$ for an hour of audio, of {}; options can cost extra.",
            prices.as_of
        )),
    }
    Exit::Done
}

fn block(endpoint: Endpoint, prices: &Prices) -> String {
    let facts = endpoint.facts();
    let price = match prices.of(endpoint) {
        Some(price) => format!("{price} an hour"),
        None => "no price known".to_owned(),
    };
    let options = match Options::keys(endpoint) {
        [] => "none".to_owned(),
        keys => keys.join(", "),
    };
    let mut text = format!("{:<width$}{price}\n", facts.name, width = WIDTH - 1 - price.len());
    text += &entry("returns", facts.returns);
    let most = most_bytes(endpoint).map_or("of any size".to_owned(), |most| format!("up to {}", bytes(most)));
    text += &entry("takes", &format!("{}; {most}", media::taken_by(endpoint)));
    text += &entry("options", &options);
    facts.limits.iter().for_each(|limit| text += &entry("note", limit));
    text
}

/// A stream takes what it is given.
fn most_bytes(endpoint: Endpoint) -> Option<u64> {
    (!endpoint.is_streaming()).then(|| MediaSettings::default().max_bytes.min(endpoint.facts().max_bytes))
}

/// `  name     words that go on below each other`
fn entry(name: &str, words: &str) -> String {
    let (mut text, mut line) = (String::new(), format!("  {name:<8}"));
    for word in words.split(' ') {
        if line.len() + 1 + word.len() > WIDTH - 1 {
            text += &format!("{line}\n");
            line = " ".repeat(10);
        }
        line += &format!(" {word}");
    }
    format!("{text}{line}\n")
}

fn as_object(endpoint: Endpoint, prices: &Prices) -> serde_json::Value {
    let facts = endpoint.facts();
    let formats: Vec<String> = media::taken_by(endpoint).split(", ").map(str::to_owned).collect();
    json!({
        "endpoint": facts.name, "returns": facts.returns, "returns_audio": endpoint.returns_audio(),
        "formats": formats, "max_bytes": most_bytes(endpoint), "streaming": endpoint.is_streaming(),
        "options": Options::keys(endpoint),
        "usd_per_hour": prices.of(endpoint).map(|price| price.dollars()), "prices_of": prices.as_of, "limits": facts.limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_fits_an_ordinary_terminal_and_leaves_nothing_out() {
        for endpoint in Endpoint::ALL {
            let text = block(endpoint, &Prices::default());
            assert!(text.lines().all(|line| line.len() < WIDTH), "{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in Options::keys(endpoint).iter().copied().chain([endpoint.facts().returns]) {
                assert!(words.contains(part), "{part} is missing:\n{text}");
            }
        }
    }

    #[test]
    fn a_block_looks_as_agreed() {
        let block = |endpoint| block(endpoint, &Prices::default());
        insta::assert_snapshot!(block(Endpoint::SttBatch) + &block(Endpoint::MusicDetectionBatch));
    }
}
