//! `keyward config check`.

use std::time::Duration;

use keyward::{ErrorKind, NativeBrokerPlugin};
use keyward_config::{BrokerPlace, Environment, Explanation, Form, Permit, Places, Problem};
use serde::Serialize;
use tokio::time::timeout;

use crate::console::{Color, Console};
use crate::failure::Failure;
use crate::table::table;

/// How long a broker may take to say what it works by.
const PATIENCE: Duration = Duration::from_secs(2);

/// `keyward config check --json`.
#[derive(Serialize)]
struct Report {
    values: Vec<Entry>,
    warnings: Vec<String>,
    problems: Vec<Fault>,
}

#[derive(Serialize)]
struct Entry {
    key: String,
    value: String,
    origin: String,
    variable: Option<String>,
    meaning: String,
}

#[derive(Serialize)]
struct Fault {
    origin: String,
    message: String,
}

/// Shows every value and where it came from, and everything that is wrong.
pub async fn run(
    json: bool,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut report = Report::read(environment);
    report.warnings.extend(outdated(environment).await);
    if json {
        console.json(&report)?;
    } else {
        report.print(console)?;
    }
    if report.problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::shown(ErrorKind::IncorrectConfiguration))
    }
}

/// What a broker that is running says, if it works by another configuration than the one shown.
/// None is started for that.
async fn outdated(environment: &Environment) -> Option<String> {
    let place = BrokerPlace::find(environment).ok()?;
    let broker = NativeBrokerPlugin::at_socket(place.socket.value);
    let status = timeout(PATIENCE, broker.broker_status()).await.ok()?.ok()?;
    status.outdated
}

/// What a user's own layers count for where the system form is installed.
const OF_THE_SYSTEM: &str = "the broker here is the system's, which reads /etc/keyward/config.toml \
                             alone: of what comes from elsewhere only `cli` and `user_agent` count";

impl Report {
    /// Reads every layer as the broker would. Places come from variables alone, so they are shown
    /// whatever the files say.
    fn read(environment: &Environment) -> Self {
        let mut report = Self {
            values: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
        };
        match Places::find(environment) {
            Ok(places) => report
                .values
                .extend(places.explain().into_iter().map(Entry::of)),
            Err(error) => report.problems.push(Fault {
                origin: "places".to_owned(),
                message: error.to_string(),
            }),
        }
        let (config, error) = keyward_config::examine(environment, Permit::ConfiguredOnly);
        let values = config.explain().into_iter().map(Entry::of);
        report.values.extend(values);
        report.warnings = config.warnings().to_vec();
        if BrokerPlace::find(environment).is_ok_and(|place| place.form == Form::System) {
            report.warnings.push(OF_THE_SYSTEM.to_owned());
        }
        if let Some(error) = error {
            report.problems.extend(error.problems().map(Fault::of));
        }
        report
    }

    fn print(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let rows = self
            .values
            .iter()
            .map(|value| vec![value.key.clone(), value.value.clone(), value.origin.clone()]);
        console.line(&table(&["KEY", "VALUE", "FROM"], rows))?;
        for warning in &self.warnings {
            let word = console.paint(Color::Yellow, "warning");
            console.line(&format!("{word}: {warning}"))?;
        }
        for problem in &self.problems {
            let word = console.paint(Color::Red, "problem");
            console.line(&format!("{word}: {}: {}", problem.origin, problem.message))?;
        }
        if !self.problems.is_empty() {
            console.line("nothing of this is used before every problem is corrected")?;
        }
        Ok(())
    }
}

impl Entry {
    fn of(explanation: Explanation) -> Self {
        Self {
            key: explanation.key,
            value: explanation.value,
            origin: explanation.origin.to_string(),
            variable: explanation.variable,
            meaning: explanation.doc,
        }
    }
}

impl Fault {
    fn of(problem: &Problem) -> Self {
        Self {
            origin: problem.origin.to_string(),
            message: problem.message.clone(),
        }
    }
}
