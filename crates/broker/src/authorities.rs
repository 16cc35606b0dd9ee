//! From the configuration's authorities to the engine's rules.

use keyward_client::authority::{AuthorityKind, AuthorityRule, AuthorityRules, DpopPolicy};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_config::{Authority, Config, DpopUse, Permit, RequiredBinding};

/// The engine's rules for the configured authorities. Where a well-known name may stand for another
/// authority, none of them is left to be the real one: such a broker never leaves this machine.
///
/// # Errors
///
/// [`ErrorKind::IncorrectConfiguration`] with the place of an authority that cannot be used.
pub(crate) fn rules(config: &Config, permit: Permit) -> Result<AuthorityRules, AcquireTokenError> {
    let bound_only = config.require_binding.value == RequiredBinding::SenderConstrained;
    let rules = config
        .authorities()
        .iter()
        .map(|authority| rule(authority, bound_only))
        .collect();
    let rules = AuthorityRules::new(rules).map_err(|error| {
        AcquireTokenError::new(
            ErrorKind::IncorrectConfiguration,
            format!("an [[authority]] of the configuration cannot be used: {error}"),
        )
    })?;
    Ok(match permit {
        Permit::ConfiguredOnly => rules,
        Permit::WellKnownHosts => rules.configured_only(),
    })
}

fn rule(authority: &Authority, bound_only: bool) -> AuthorityRule {
    AuthorityRule {
        matches: authority.matches.clone(),
        issuer: authority.issuer.clone(),
        kind: match authority.kind {
            keyward_config::AuthorityKind::Entra => AuthorityKind::Entra,
            keyward_config::AuthorityKind::Oidc => AuthorityKind::OpenId,
        },
        dpop: match authority.dpop {
            DpopUse::Off => DpopPolicy::Off,
            // An authority that does not offer it is then refused before anybody signs in.
            DpopUse::Auto if bound_only => DpopPolicy::Required,
            DpopUse::Auto => DpopPolicy::Auto,
            DpopUse::Required => DpopPolicy::Required,
        },
        verify_binding: authority.verify_binding,
    }
}

#[cfg(test)]
mod tests {
    use keyward_client::authority::well_known;
    use keyward_config::{AuthorityEntry, Environment, Permit, WELL_KNOWN_HOSTS};

    use super::*;

    #[test]
    fn configuration_and_engine_agree_on_the_well_known_hosts() {
        for host in WELL_KNOWN_HOSTS {
            assert!(well_known::is_well_known(host), "{host}");
        }
    }

    #[test]
    fn what_the_configuration_takes_the_engine_takes_too() {
        let entry = AuthorityEntry {
            matches: vec![
                "https://localhost/5f1ce0a5-0000-4000-8000-000000000001".to_owned(),
                "https://login.microsoftonline.com/common".to_owned(),
            ],
            issuer: "http://127.0.0.1:4000/oidc".to_owned(),
            kind: keyward_config::AuthorityKind::Oidc,
            dpop: None,
            verify_binding: Some(true),
        };
        let environment = Environment::empty().with_authorities("test", vec![entry]);
        let config = keyward_config::load(&environment, Permit::WellKnownHosts).unwrap();
        let rules = rules(&config, Permit::WellKnownHosts).unwrap();
        for name in [
            "https://localhost/5F1CE0A5-0000-4000-8000-000000000001/",
            "https://login.microsoftonline.com/common",
            "http://127.0.0.1:4000/oidc",
        ] {
            let authority = rules.resolve(name, |_| None).unwrap();
            assert_eq!(&*authority.issuer, "http://127.0.0.1:4000/oidc", "{name}");
            assert!(authority.verify_binding);
        }
        let real = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad";
        let refused = rules.resolve(real, |_| None).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AuthorityUntrusted);
    }
}
