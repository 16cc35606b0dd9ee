//! A process one talks to line by line: a question goes in, an answer comes out.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::process::Process;

/// A running process with its standard input and output in hand; standard error goes to a file.
#[derive(Debug)]
pub struct Dialogue {
    process: Process,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Dialogue {
    /// Starts a command under a name.
    pub fn start(name: &str, command: &mut Command, logs: &Path) -> Self {
        let mut process = Process::start_in_dialogue(name, command, logs);
        let (input, output) = process.take_pipes();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            input: Some(input),
            lines,
        }
    }

    /// Writes one line.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the dialogue goes on");
        let written = writeln!(input, "{line}").and_then(|()| input.flush());
        assert!(
            written.is_ok(),
            "it no longer listens\n{}",
            self.process.output()
        );
    }

    /// Waits for a line that satisfies `wanted`; others are dropped.
    pub fn hear(&mut self, deadline: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no answer in {deadline:?}\n{}", self.process.output())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without an answer\n{}", self.process.output())
                }
            }
        }
    }

    /// Closes its input and waits until it has ended by itself.
    pub fn close(mut self, deadline: Duration) -> ExitStatus {
        self.input = None;
        self.process.wait(deadline)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_question_is_answered_and_the_end_of_input_ends_it() {
        let logs = tempfile::tempdir().unwrap();
        let mut cat = Dialogue::start("cat", &mut Command::new("cat"), logs.path());
        cat.say("noise");
        cat.say("{\"id\":1}");
        assert_eq!(cat.hear(SOON, |line| line.starts_with('{')), "{\"id\":1}");
        assert!(cat.close(SOON).success());
    }

    #[test]
    #[should_panic(expected = "ended without an answer")]
    fn a_process_that_ended_answers_nothing() {
        let logs = tempfile::tempdir().unwrap();
        let mut dialogue = Dialogue::start("true", &mut Command::new("true"), logs.path());
        dialogue.hear(SOON, |_| true);
    }
}
