//! Runs voxbatch and its peers on the same server, the same files and the same machine, turn by turn, and writes down
//! what each of them cost. `bench/README.md` tells how to read it.

mod clients;
mod data;
mod machine;
mod past;
mod plot;
mod race;
mod scenarios;
mod server;
mod settings;
mod table;
mod trial;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::json;
use settings::{HELP, Settings};
use voxbatch_bench::cost;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == cost::FRONT) {
        return in_front(args);
    }
    let settings = match Settings::from_args() {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("compare: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match compare(&settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("compare: something did not do what it had to, see above");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("compare: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the small process in front of a command: `--front REPORT PROGRAM ARGS…`.
fn in_front(mut args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let (Some(report), Some(program)) = (args.next(), args.next()) else { return ExitCode::from(2) };
    match cost::front(Path::new(&report), Command::new(&program).args(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{}: {problem}", program.display());
            ExitCode::FAILURE
        }
    }
}

/// Whether everything did what it had to.
fn compare(settings: &Settings) -> io::Result<bool> {
    fs::create_dir_all(&settings.out)?;
    let machine = machine::look(settings);
    println!("{}\n", machine.in_words());
    let mut text = format!("{}\n", machine.in_words());
    let (mut raw, mut problems) = (Vec::new(), Vec::new());
    for scenario in scenarios::ALL.iter().filter(|s| settings.wants(s.name)) {
        println!("== {}: {}", scenario.name, scenario.about);
        let found = (scenario.run)(settings)?;
        println!("\n{}", found.text);
        text.push_str(&format!("\n### {}\n\n{}\n\n{}", scenario.name, scenario.about, found.text));
        raw.push(json!({ "scenario": scenario.name, "figures": found.raw }));
        problems.extend(found.problems.into_iter().map(|problem| format!("{}: {problem}", scenario.name)));
        // After each: a long comparison that is broken off has not been for nothing.
        let figures = json!({ "machine": machine.to_json(), "scenarios": raw, "problems": problems });
        fs::write(settings.out.join("performance.json"), format!("{figures:#}\n"))?;
        fs::write(settings.out.join("performance.md"), &text)?;
    }
    for problem in &problems {
        println!("PROBLEM {problem}");
    }
    if let Some(page) = &settings.into {
        table::into_page(page, &text)?;
    }
    println!("figures: {}/performance.md, performance.json", settings.out.display());
    Ok(problems.is_empty())
}
