//! The configuration: every problem with its file and line.

use keyward::ErrorKind;
use keyward_config::{Environment, Permit};

use super::check::Check;

const NAME: &str = "configuration";

/// Reads the configuration as the broker does.
pub fn check(environment: &Environment) -> Vec<Check> {
    match keyward_config::load(environment, Permit::ConfiguredOnly) {
        Ok(config) if config.warnings().is_empty() => {
            vec![Check::ok(NAME, "nothing is wrong with it")]
        }
        Ok(config) => config
            .warnings()
            .iter()
            .map(|warning| Check::warn(NAME, warning, "keyward config check"))
            .collect(),
        Err(error) => error
            .problems()
            .map(|problem| {
                let mend = format!("correct {}, then keyward config check", problem.origin);
                let kind = ErrorKind::IncorrectConfiguration;
                Check::fail(NAME, kind, problem.to_string(), mend)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::State;

    #[test]
    fn a_broken_value_is_named_with_its_origin() {
        let environment =
            Environment::empty().with_variable("KEYWARD_INTERACTIVE_DEADLINE_SECONDS", "soon");
        let checks = check(&environment);
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].state, State::Fail);
        assert!(
            checks[0]
                .message
                .contains("KEYWARD_INTERACTIVE_DEADLINE_SECONDS")
        );
    }

    #[test]
    fn defaults_are_fine() {
        let checks = check(&Environment::empty());
        assert!(matches!(
            checks[..],
            [Check {
                state: State::Ok,
                ..
            }]
        ));
    }
}
