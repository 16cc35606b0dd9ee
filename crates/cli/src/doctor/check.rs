//! One finding, and all of them.

use keyward::ErrorKind;
use serde::Serialize;

use crate::console::{Color, Console};
use crate::failure::Failure;

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub message: String,
    /// The command that mends it, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    #[serde(skip)]
    kind: Option<ErrorKind>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Some programs will not work, or not as well as they could.
    Warn,
    /// Nothing will work.
    Fail,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            message: message.into(),
            mend: None,
            kind: None,
        }
    }

    /// Some programs will not work.
    pub fn warn(name: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            state: State::Warn,
            mend: Some(mend.into()),
            ..Self::ok(name, message)
        }
    }

    /// Nothing will work; requests fail with this kind of error.
    pub fn fail(
        name: &'static str,
        kind: ErrorKind,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Fail,
            mend: Some(mend.into()),
            kind: Some(kind),
            ..Self::ok(name, message)
        }
    }
}

/// Every finding.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// Adds findings.
    pub fn add(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.checks.extend(checks);
    }

    /// For people: state, name, what was found, and below it what mends it.
    pub fn print(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let width = self.checks.iter().map(|check| check.name.len()).max();
        let width = width.unwrap_or_default();
        for check in &self.checks {
            let (color, word) = match check.state {
                State::Ok => (Color::Green, "ok  "),
                State::Warn => (Color::Yellow, "warn"),
                State::Fail => (Color::Red, "fail"),
            };
            let word = console.paint(color, word);
            console.line(&format!("{word}  {:width$}  {}", check.name, check.message))?;
            if let Some(mend) = &check.mend {
                console.line(&format!("      {:width$}  mend: {mend}", ""))?;
            }
        }
        Ok(())
    }

    /// Success, or the code of the first failure. What failed was shown already.
    pub fn verdict(&self) -> Result<(), Failure> {
        match self.checks.iter().find_map(|check| check.kind) {
            None => Ok(()),
            Some(kind) => Err(Failure::shown(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_decides_the_exit_code_and_warnings_do_not() {
        let mut report = Report::default();
        report.add([Check::ok("a", "fine"), Check::warn("b", "so so", "mend b")]);
        assert!(report.verdict().is_ok());
        report.add([
            Check::fail("c", ErrorKind::Storage, "bad", "mend c"),
            Check::fail("d", ErrorKind::BrokerUnavailable, "worse", "mend d"),
        ]);
        assert_eq!(report.verdict().unwrap_err().exit_code, 18);
    }

    #[test]
    fn people_see_what_mends_it_below_what_is_wrong() {
        let mut report = Report::default();
        report.add([
            Check::ok("bus", "fine"),
            Check::warn("keyring", "locked", "unlock it"),
        ]);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        report
            .print(&mut Console::plain(&mut out, &mut err))
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok    bus      fine\nwarn  keyring  locked\n               mend: unlock it\n"
        );
    }

    #[test]
    fn programs_see_the_same() {
        let mut report = Report::default();
        report.add([Check::fail("c", ErrorKind::Storage, "bad", "mend c")]);
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "checks": [{"name": "c", "state": "fail", "message": "bad", "mend": "mend c"}]
            })
        );
    }
}
