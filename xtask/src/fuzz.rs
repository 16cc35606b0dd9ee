//! `cargo xtask fuzz`: coverage-guided fuzzing of everything that reads foreign bytes.
//!
//! The targets are a workspace of their own in `fuzz/`, built here with the coverage that libFuzzer
//! steers by. Neither cargo-fuzz nor a nightly toolchain is needed; both work as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{Failure, Outcome, cargo, must, output, root};

/// What libFuzzer needs to see where a run went (clang's SanitizerCoverage).
const COVERAGE: [&str; 5] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4 -sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table -sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
];

/// How long each target runs.
#[derive(Clone, Copy, Debug)]
pub enum Effort {
    /// Long enough to see that it works and that nothing obvious breaks.
    Smoke,
    /// This many seconds.
    Seconds(u32),
}

/// Builds the targets and runs those named, or all of them. Stops at the first input that breaks
/// one, which is kept.
pub fn run(targets: &[String], effort: Effort) -> Outcome {
    let known = known_targets()?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        let known = known.join(", ");
        return Err(Failure::new(format!(
            "there is no fuzz target {unknown}: there are {known}"
        )));
    }
    let programs = build()?;
    let wanted = if targets.is_empty() { &known } else { targets };
    wanted
        .iter()
        .try_for_each(|target| run_one(&programs, target, effort))
}

/// The names of the targets: every one is a file.
fn known_targets() -> Result<Vec<String>, Failure> {
    let folder = root().join("fuzz/fuzz_targets");
    let unreadable = |error| Failure::new(format!("cannot read {}: {error}", folder.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The folder with the built targets. With a target triple, so that build scripts and macros are
/// built without coverage.
fn build() -> Result<PathBuf, Failure> {
    let host = output(Command::new("rustc").arg("-vV"))
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("host: "));
            line.map(str::to_owned)
        })
        .ok_or_else(|| Failure::new("rustc does not say which host it is for"))?;
    let target_dir = target_dir();
    let mut build = cargo(&["build", "--release", "--quiet", "--locked", "--bins"]);
    build
        .args(["--target", &host, "--manifest-path", "fuzz/Cargo.toml"])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", encoded_flags());
    must(&mut build)?;
    Ok(target_dir.join(host).join("release"))
}

/// One flag may hold a space, so they are separated by 0x1f.
fn encoded_flags() -> String {
    COVERAGE.join("\u{1f}")
}

fn target_dir() -> PathBuf {
    let shared = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    shared.unwrap_or_else(|| root().join("target")).join("fuzz")
}

fn run_one(programs: &Path, target: &str, effort: Effort) -> Outcome {
    println!("   {target}");
    let folder = |what: &str| target_dir().join(what).join(target);
    let (corpus, broken) = (folder("corpus"), folder("broken"));
    for folder in [&corpus, &broken] {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::new(format!("cannot create {}: {error}", folder.display()))
        })?;
    }
    let mut fuzz = Command::new(programs.join(target));
    fuzz.arg(format!("-artifact_prefix={}/", broken.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-verbosity=0"]);
    match effort {
        Effort::Smoke => fuzz.args(["-runs=20000", "-max_total_time=3"]),
        Effort::Seconds(seconds) => fuzz
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1"),
    };
    let seeds = root().join("fuzz/seeds").join(target);
    fuzz.arg(&corpus);
    if seeds.is_dir() {
        fuzz.arg(&seeds);
    }
    must(&mut fuzz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built_under_its_own_name() {
        let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        for target in known_targets().unwrap() {
            let line = format!("path = \"fuzz_targets/{target}.rs\"");
            assert!(
                manifest.contains(&line),
                "{target} is not in fuzz/Cargo.toml"
            );
        }
    }

    #[test]
    fn an_unknown_target_is_refused_with_the_known_ones() {
        let error = run(&["jwz".to_owned()], Effort::Smoke).unwrap_err();
        assert!(error.to_string().contains("jws"), "{error}");
    }
}
