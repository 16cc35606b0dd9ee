//! Data to stdout, everything else to stderr.

use std::io::{self, IsTerminal as _, Write};

use keyward::ErrorKind;
use keyward_config::Environment;
use serde::Serialize;

use crate::failure::Failure;

/// Where a command writes.
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    color: bool,
    person: bool,
}

/// How a word is coloured on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Good.
    Green,
    /// Look at it.
    Yellow,
    /// Bad.
    Red,
}

impl<'a> Console<'a> {
    /// Writes without colour.
    pub fn plain(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self {
            out,
            err,
            color: false,
            person: false,
        }
    }

    /// Says whether a person reads what goes on, or a program.
    #[must_use]
    pub fn for_a_person(mut self, person: bool) -> Self {
        self.person = person;
        self
    }

    /// Whether a person reads what goes on.
    pub fn is_for_a_person(&self) -> bool {
        self.person
    }

    /// Colours words if stdout is a terminal and nothing speaks against it
    /// (<https://no-color.org>).
    #[must_use]
    pub fn colored_for(mut self, environment: &Environment) -> Self {
        self.color = io::stdout().is_terminal() && wants_color(environment);
        self
    }

    /// A line of data.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(Failure::from)
    }

    /// Raw data.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::from)
    }

    /// Data as JSON, for programs and people.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(ErrorKind::Unexpected, error.to_string()))?;
        self.line(&text)
    }

    /// A line about what goes on. That nobody can read it stops nothing.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// The word in this colour, or as it is.
    pub fn paint(&self, color: Color, word: &str) -> String {
        let code = match color {
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Red => 31,
        };
        if self.color {
            format!("\x1b[{code}m{word}\x1b[0m")
        } else {
            word.to_owned()
        }
    }

    /// Says why a command failed, and how to mend it. Returns the exit code.
    pub fn fail(&mut self, failure: &Failure) -> u8 {
        if !failure.message.is_empty() {
            self.say(&format!("error: {}", failure.message));
        }
        if let Some(hint) = &failure.hint {
            self.say(&format!("hint: {hint}"));
        }
        failure.exit_code
    }

    /// Writes out what is still held back.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::from)
    }
}

/// A reader that has seen enough (`| head`) is no failure worth a word; the exit code still tells
/// that not everything was written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::shown(ErrorKind::Unexpected);
        }
        Self::new(
            ErrorKind::Unexpected,
            format!("the output cannot be written: {error}"),
        )
    }
}

fn wants_color(environment: &Environment) -> bool {
    let dumb = environment
        .variable("TERM")
        .is_none_or(|terminal| terminal == "dumb");
    environment.variable("NO_COLOR").is_none() && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_are_honoured() {
        let terminal = Environment::empty().with_variable("TERM", "xterm-256color");
        assert!(wants_color(&terminal));
        assert!(!wants_color(
            &terminal.clone().with_variable("NO_COLOR", "1")
        ));
        assert!(!wants_color(&terminal.with_variable("TERM", "dumb")));
        assert!(!wants_color(&Environment::empty()));
    }

    #[test]
    fn a_failure_is_told_on_stderr_with_its_hint() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let failure = Failure::new(ErrorKind::InteractionRequired, "nobody is signed in");
        let code = Console::plain(&mut out, &mut err).fail(&failure);
        assert_eq!(code, 3);
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "error: nobody is signed in\nhint: keyward login\n"
        );
        assert!(out.is_empty());
    }
}
