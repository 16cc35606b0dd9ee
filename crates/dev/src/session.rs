//! `keyward-dev session`: an authority and a broker for the life of one command.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use keyward_config::AuthorityKind;
use keyward_dev_authority::Running;
use keyward_dev_authority::users::PARTNER_TENANT;

use crate::DevError;
use crate::args::{SessionArguments, SignIn, Tenant};
use crate::authority;
use crate::bus::Bus;
use crate::command;
use crate::keyring::Keyring;
use crate::mapping::{self, Mapping};
use crate::place::Place;
use crate::process::Process;
use crate::signals::Signals;
use crate::tpm::Tpm;
use crate::trust;

/// The test user signed in where nobody is named.
pub const DEFAULT_USER: &str = "alice@dev.test";

/// A client id for commands that have none of their own.
pub const CLIENT_ID: &str = "7a1d3e5f-2b4c-4d6e-8f90-a1b2c3d4e5f6";

/// Starts the authority, keywardd and keyward-session, runs the command, and ends them again.
///
/// # Errors
///
/// When one of them cannot be started, or the broker's names on the bus are somebody else's.
pub async fn run(arguments: &SessionArguments) -> Result<ExitCode, DevError> {
    let mut signals = Signals::listen()?;
    let stage = tokio::select! {
        stage = Stage::set(arguments) => stage?,
        // Dropping what is half set up ends it.
        ending = signals.next() => return Ok(ending.exit_code()),
    };
    let status = match stage.environment(arguments) {
        Ok(environment) => command::run(&arguments.command, &environment, &mut signals).await,
        Err(error) => Err(error),
    };
    stage.clear().await;
    status
}

/// Everything a command runs in front of.
struct Stage {
    authority: Running,
    bus: Bus,
    keyring: Option<Keyring>,
    keywardd: Process,
    session: Process,
    tpm: Tpm,
    // Last, so that the folder goes after what lives in it.
    place: Place,
}

impl Stage {
    async fn set(arguments: &SessionArguments) -> Result<Self, DevError> {
        let place = Place::create()?;
        let authority = authority::start_again(arguments.port).await?;
        let tpm = Tpm::choose(&arguments.tpm, &place).await?;
        place.write_config(&configuration(&place, arguments, &tpm))?;
        let bus = Bus::current_or_private(&place, arguments.take_over).await?;
        let keyring = if bus.is_private() {
            keyring(&place, &bus).await
        } else {
            None
        };

        let mut environment = broker_environment(&place);
        environment.push(("DBUS_SESSION_BUS_ADDRESS", bus.address().into()));
        let mappings = mapping::to_variable(&mappings(&authority, arguments.tenant));
        environment.push((mapping::VARIABLE, mappings));
        let keywardd = Process::start(&place, "keywardd", &[], &environment).await?;
        let mut flags = vec![OsString::from("--no-start")];
        if arguments.take_over {
            flags.push("--take-over".into());
        }
        let session = Process::start(&place, "keyward-session", &flags, &environment).await?;
        // Nothing may run against another broker in the belief that it is this one.
        bus.check_owner(session.id()).await?;
        Ok(Self {
            authority,
            bus,
            keyring,
            keywardd,
            session,
            tpm,
            place,
        })
    }

    fn environment(
        &self,
        arguments: &SessionArguments,
    ) -> Result<Vec<(&'static str, OsString)>, DevError> {
        let mut environment = broker_environment(&self.place);
        environment.push(("DBUS_SESSION_BUS_ADDRESS", self.bus.address().into()));
        environment.extend(command_environment(&self.place, &self.authority, arguments));
        environment.extend(trust::variables(&self.place, &self.authority)?);
        Ok(environment)
    }

    async fn clear(self) {
        self.session.stop().await;
        self.keywardd.stop().await;
        self.tpm.stop().await;
        if let Some(keyring) = self.keyring {
            keyring.stop().await;
        }
        self.bus.stop().await;
        self.authority.shutdown().await;
    }
}

/// A keyring for a private bus. All but Microsoft's runtime does without.
async fn keyring(place: &Place, bus: &Bus) -> Option<Keyring> {
    match Keyring::start(place, bus.address()).await {
        Ok(keyring) => Some(keyring),
        Err(why) => {
            let _ = writeln!(
                io::stderr(),
                "keyward-dev: no Secret Service ({why}): Microsoft's runtime will find no accounts"
            );
            None
        }
    }
}

/// What both broker processes need to find their private place. They say on stderr only what goes
/// wrong, unless `$KEYWARD_LOG` asks for more.
pub fn broker_environment(place: &Place) -> Vec<(&'static str, OsString)> {
    let log = std::env::var_os("KEYWARD_LOG").unwrap_or_else(|| "warn".into());
    vec![
        ("KEYWARD_SOCKET", place.socket().into()),
        ("KEYWARD_STATE_DIR", place.state().into()),
        ("KEYWARD_CONFIG", place.config().into()),
        ("KEYWARD_LOG", log),
    ]
}

fn command_environment(
    place: &Place,
    authority: &Running,
    arguments: &SessionArguments,
) -> Vec<(&'static str, OsString)> {
    let origin = authority::localhost(authority);
    let tenant = authority::tenant(authority, arguments.tenant);
    let mut path = place.programs().into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    vec![
        ("KEYWARD_DEV_AUTHORITY", format!("{origin}/{tenant}").into()),
        (
            "KEYWARD_DEV_TLS_AUTHORITY",
            format!("{}/{tenant}", authority::tls(authority)).into(),
        ),
        ("KEYWARD_DEV_TENANT", tenant.into()),
        ("KEYWARD_DEV_CLIENT_ID", CLIENT_ID.into()),
        ("KEYWARD_DEV_USER", arguments.user.clone().into()),
        ("KEYWARD_DEV_API", format!("{origin}/api/me").into()),
        ("PATH", path),
    ]
}

/// The configuration of the private broker: who fills in the pages.
fn configuration(place: &Place, arguments: &SessionArguments, tpm: &Tpm) -> String {
    let program = place.program("keyward-dev");
    let command = [
        &program.to_string_lossy(),
        "sign-in",
        "--user",
        &arguments.user,
        "{url}",
    ];
    let user_agent = match arguments.sign_in {
        SignIn::Auto => format!("\n[user_agent]\ncommand = {}\n", toml_array(&command)),
        SignIn::Browser => String::new(),
    };
    format!("{}{user_agent}", tpm.configuration())
}

/// The well-known names are the chosen tenant, and `https://localhost/GUID` is either.
fn mappings(authority: &Running, chosen: Tenant) -> Vec<Mapping> {
    [Tenant::Oidc, Tenant::Entra]
        .map(|tenant| {
            let guid = authority::tenant(authority, tenant);
            let mut names = vec![format!("https://localhost/{guid}")];
            if tenant == chosen {
                for segment in ["common", "organizations", &guid] {
                    names.push(format!("https://login.microsoftonline.com/{segment}"));
                }
            }
            let kind = match tenant {
                Tenant::Oidc => AuthorityKind::Oidc,
                Tenant::Entra => AuthorityKind::Entra,
            };
            if tenant == chosen && kind == AuthorityKind::Entra {
                // Where Microsoft's runtime asks for a guest's tokens: at home.
                names.push(format!(
                    "https://login.microsoftonline.com/{PARTNER_TENANT}"
                ));
            }
            Mapping {
                names,
                issuer: authority::issuer(authority, tenant),
                kind,
            }
        })
        .into()
}

/// The `[[authority]]` section of the OpenID tenant, as a person would write it for a provider of
/// their own.
pub fn authority_section(authority: &Running) -> String {
    format!(
        "[[authority]]\nissuer = {}\nkind = \"oidc\"\nverify_binding = true\n",
        toml_string(&authority::issuer(authority, Tenant::Oidc)),
    )
}

fn toml_array(items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| toml_string(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A basic TOML string; JSON's escapes are a subset of TOML's.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_strings_are_quoted() {
        assert_eq!(toml_array(&["a", "b\"c"]), r#"["a", "b\"c"]"#);
    }
}
