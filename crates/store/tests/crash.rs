//! A process that is killed while it writes: everything it was told is durable is there.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod device;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use device::{contents, open, private_dir, put};
use keyward_client::ports::RecordStore;

const FOLDER: &str = "KEYWARD_TEST_FOLDER";
const ROUNDS: usize = 200;

/// What the test below runs and kills: rotates one token for ever, and says after each time which
/// one is durable.
#[tokio::test]
#[ignore = "run and killed by the test below"]
async fn writer() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let vault = open(&folder).unwrap();
    let begin = last_rotation(&contents(&vault).await.0);
    for number in begin + 1.. {
        let rotated = put("a", "token", &number.to_string());
        let kept = put("a", &format!("kept {}", number % 7), &number.to_string());
        vault.apply(vec![rotated, kept]).await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "durable {number}").unwrap();
        out.flush().unwrap();
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn last_rotation(records: &[String]) -> u64 {
    let token = records
        .iter()
        .find_map(|record| record.strip_prefix("a/token="));
    token.map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn nothing_that_was_durable_is_lost() {
    let dir = private_dir();
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut child = start(dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after a different number of rotations each time, wherever it then is.
        let mut acknowledged = 0;
        let mut seen = 0;
        while seen < 1 + round % 40 * 3 {
            let line = lines.next().unwrap().unwrap();
            if let Some(number) = line.strip_prefix("durable ") {
                acknowledged = number.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before the signal arrived counts as well.
        for line in lines.map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("durable ") {
                acknowledged = number.parse().unwrap_or(acknowledged);
            }
        }

        let vault = open(dir.path()).unwrap();
        let (records, errors) = contents(&vault).await;
        assert_eq!(errors, [], "round {round}");
        let last = last_rotation(&records);
        assert!(
            last >= acknowledged,
            "round {round}: {last} < {acknowledged}"
        );
        assert!(
            last <= acknowledged + 1,
            "round {round}: {last} > {acknowledged} + 1"
        );
        // Both records of one change, or none.
        let kept = format!("a/kept {}={last}", last % 7);
        assert!(records.contains(&kept), "round {round}: {kept} missing");
        total = last;
    }
    assert!(total >= ROUNDS as u64);
}
