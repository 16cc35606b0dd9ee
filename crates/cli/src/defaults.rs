//! Who asks, of which authority, for whom: flags, then `KEYWARD_…`, then what
//! `keyward-dev session` exports, then the configuration.

use std::cell::OnceCell;

use keyward::{Configuration, ErrorKind, NativeBrokerPlugin, PublicClientApplication, Scopes};
use keyward_config::{CommandLineDefaults, Config, Environment, Permit};

use crate::args::Application;
use crate::failure::Failure;

/// What holds where the command line does not say.
pub struct Defaults<'a> {
    environment: &'a Environment,
    /// Read only where something is still missing.
    config: OnceCell<Config>,
}

/// Something that may be given in four ways.
struct Given {
    /// The variable of the configuration's key.
    variable: &'static str,
    /// What `keyward-dev session` exports.
    development: &'static str,
    /// The key.
    of_config: fn(&CommandLineDefaults) -> Option<&String>,
}

const CLIENT_ID: Given = Given {
    variable: "KEYWARD_CLIENT_ID",
    development: "KEYWARD_DEV_CLIENT_ID",
    of_config: |cli| cli.client_id.value.as_ref(),
};

const AUTHORITY: Given = Given {
    variable: "KEYWARD_AUTHORITY",
    development: "KEYWARD_DEV_AUTHORITY",
    of_config: |cli| cli.authority.value.as_ref(),
};

const LOGIN_HINT: Given = Given {
    variable: "KEYWARD_LOGIN_HINT",
    development: "KEYWARD_DEV_USER",
    of_config: |cli| cli.login_hint.value.as_ref(),
};

impl<'a> Defaults<'a> {
    /// Of this environment.
    pub fn of(environment: &'a Environment) -> Self {
        Self {
            environment,
            config: OnceCell::new(),
        }
    }

    /// The application that asks, with the broker there is.
    pub fn application(&self, flags: &Application) -> Result<PublicClientApplication, Failure> {
        self.application_with(flags, self.broker())
    }

    /// The application that asks, with this broker.
    pub fn application_with(
        &self,
        flags: &Application,
        plugin: NativeBrokerPlugin,
    ) -> Result<PublicClientApplication, Failure> {
        let client_id = self
            .value(flags.client_id.as_deref(), &CLIENT_ID)?
            .ok_or_else(|| {
                Failure::usage(
                    "no client id is given",
                    "pass --client-id ID, or set KEYWARD_CLIENT_ID to the id your application is \
                     registered under",
                )
            })?;
        let mut configuration = Configuration::builder(client_id).native_broker_plugin(plugin);
        if let Some(authority) = self.value(flags.authority.as_deref(), &AUTHORITY)? {
            configuration = configuration.authority(authority);
        }
        Ok(PublicClientApplication::new(configuration.build())?)
    }

    /// The user name to suggest.
    pub fn login_hint(&self, flag: Option<&str>) -> Result<Option<String>, Failure> {
        self.value(flag, &LOGIN_HINT)
    }

    /// The broker there is.
    pub fn broker(&self) -> NativeBrokerPlugin {
        NativeBrokerPlugin::in_environment(self.environment.clone())
    }

    /// The configuration in force.
    pub fn config(&self) -> Result<&Config, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = keyward_config::load(self.environment, Permit::ConfiguredOnly)
            .map_err(|error| Failure::new(ErrorKind::IncorrectConfiguration, error.to_string()))?;
        Ok(self.config.get_or_init(|| config))
    }

    fn value(&self, flag: Option<&str>, given: &Given) -> Result<Option<String>, Failure> {
        let set = |name: &str| self.environment.variable(name)?.to_str();
        let here = flag
            .or_else(|| set(given.variable))
            .or_else(|| set(given.development));
        match here {
            Some(value) => Ok(Some(value.to_owned())),
            None => Ok((given.of_config)(&self.config()?.cli).cloned()),
        }
    }
}

/// The scopes given; without any, who the person is.
pub fn scopes(given: &[String]) -> Scopes {
    let given: Vec<&str> = given
        .iter()
        .flat_map(|scopes| scopes.split_ascii_whitespace())
        .collect();
    Scopes::from(&given[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn hint(environment: &Environment, flag: Option<&str>) -> Option<String> {
        Defaults::of(environment).login_hint(flag).unwrap()
    }

    fn configured(path: &Path) -> Environment {
        std::fs::write(path, "[cli]\nlogin_hint = \"by-file\"\n").unwrap();
        Environment::empty().with_variable("KEYWARD_CONFIG", path)
    }

    #[test]
    fn flags_win_over_variables_over_development_over_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = configured(&folder.path().join("config.toml"));
        let development = file.clone().with_variable("KEYWARD_DEV_USER", "by-dev");
        let variable = development
            .clone()
            .with_variable("KEYWARD_LOGIN_HINT", "by-variable");

        assert_eq!(hint(&variable, Some("by-flag")).unwrap(), "by-flag");
        assert_eq!(hint(&variable, None).unwrap(), "by-variable");
        assert_eq!(hint(&development, None).unwrap(), "by-dev");
        assert_eq!(hint(&file, None).unwrap(), "by-file");
        assert_eq!(hint(&Environment::empty(), None), None);
    }

    #[test]
    fn a_broken_configuration_is_an_error_where_it_is_needed() {
        let broken = Environment::empty().with_variable("KEYWARD_CONFIG", "/nonexistent");
        let defaults = Defaults::of(&broken);
        assert_eq!(defaults.login_hint(None).unwrap_err().exit_code, 17);
        assert_eq!(defaults.login_hint(Some("a")).unwrap().unwrap(), "a");
    }

    #[test]
    fn scopes_may_be_given_one_by_one_or_together() {
        let given = ["User.Read Mail.Read".to_owned(), "Files.Read".to_owned()];
        assert_eq!(
            scopes(&given),
            Scopes::from(["User.Read", "Mail.Read", "Files.Read"])
        );
    }
}
