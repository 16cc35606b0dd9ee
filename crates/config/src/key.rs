//! The table of keys: name, variable, meaning, how a value is read, how it is shown.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

use crate::audit::AuditDestination;
use crate::device::{KeyProtectionChoice, PinChoice, WrappingKeyPlace};
use crate::hardening::IdleExit;
use crate::origin::{Origin, Setting};
use crate::policy::Verdict;
use crate::settings::{Config, RequiredBinding, RequiredKeyProtection};

/// The variable that names a configuration file in place of the user's.
pub(crate) const CONFIG_VARIABLE: &str = "KEYWARD_CONFIG";

/// Variables of [`crate::Places`] and of file selection: known, but no keys of a file.
pub(crate) const OTHER_VARIABLES: &[&str] = &[
    CONFIG_VARIABLE,
    "KEYWARD_SOCKET",
    "KEYWARD_STATE_DIR",
    crate::form::SYSTEM_SOCKET_VARIABLE,
];

/// Tables that hold keys of [`KEYS`].
pub(crate) const TABLES: &[&str] = &[
    "audit",
    "cli",
    "hardening",
    "interactive",
    "limits",
    "policy",
    "software",
    "tpm",
    "user_agent",
];

/// Lists of tables, each with a type of its own.
pub(crate) const LISTS: &[&str] = &["authority", "policy.rule"];

/// One key.
pub(crate) struct Key {
    /// Dotted name.
    pub name: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// What it does, one line.
    pub doc: &'static str,
    /// Reads a value into the configuration.
    pub apply: fn(&mut Config, &Raw<'_>, &Origin) -> Result<(), String>,
    /// The value in force as it would be written in a file.
    pub show: fn(&Config) -> (String, Origin),
}

/// Every key, in the order `config check` lists them.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "log",
        variable: "KEYWARD_LOG",
        doc: "What is logged: error, warn, info, debug, trace, or per-module directives.",
        apply: |config, raw, origin| {
            config.log.set(raw.text()?.to_owned(), origin);
            Ok(())
        },
        show: |config| quoted(&config.log),
    },
    Key {
        name: "key_protection",
        variable: "KEYWARD_KEY_PROTECTION",
        doc: "Where new binding keys are made: \"tpm\", \"software\", or \"tpm-or-software\", which is \
              decided once.",
        apply: |config, raw, origin| {
            let choice = raw.one_of(KeyProtectionChoice::ALL)?;
            config.key_protection.set(choice, origin);
            Ok(())
        },
        show: |config| quoted(&config.key_protection),
    },
    Key {
        name: "tpm.tcti",
        variable: "KEYWARD_TPM_TCTI",
        doc: "How the TPM is reached, as tpm2-tss spells it.",
        apply: |config, raw, origin| {
            let tcti = raw.text()?.trim();
            if tcti.is_empty() {
                return Err("names no TPM; \"device:/dev/tpmrm0\" is the usual one".to_owned());
            }
            config.tpm.tcti.set(tcti.to_owned(), origin);
            Ok(())
        },
        show: |config| quoted(&config.tpm.tcti),
    },
    Key {
        name: "tpm.pin",
        variable: "KEYWARD_TPM_PIN",
        doc: "\"ask\" makes keys of the TPM that want a PIN, which the person is asked for.",
        apply: |config, raw, origin| {
            config.tpm.pin.set(raw.one_of(PinChoice::ALL)?, origin);
            Ok(())
        },
        show: |config| quoted(&config.tpm.pin),
    },
    Key {
        name: "tpm.pin_seconds",
        variable: "KEYWARD_TPM_PIN_SECONDS",
        doc: "How long a PIN is kept in memory after it was asked for.",
        apply: |config, raw, origin| {
            let seconds = raw.seconds(1..=86_400)?;
            config.tpm.pin_kept.set(seconds, origin);
            Ok(())
        },
        show: |config| {
            let kept = &config.tpm.pin_kept;
            (kept.value.as_secs().to_string(), kept.origin.clone())
        },
    },
    Key {
        name: "software.wrapping_key",
        variable: "KEYWARD_SOFTWARE_WRAPPING_KEY",
        doc: "Where the key is kept that seals software keys: \"file\", or \"secret-service\" (the \
              session's keyring, reached through keyward-session).",
        apply: |config, raw, origin| {
            let place = raw.one_of(WrappingKeyPlace::ALL)?;
            config.wrapping_key.set(place, origin);
            Ok(())
        },
        show: |config| quoted(&config.wrapping_key),
    },
    Key {
        name: "require_binding",
        variable: "KEYWARD_REQUIRE_BINDING",
        doc: "\"sender-constrained\" refuses authorities that cannot bind refresh tokens.",
        apply: |config, raw, origin| {
            let value = raw.one_of(RequiredBinding::ALL)?;
            config.require_binding.tighten(value, origin)
        },
        show: |config| quoted(&config.require_binding),
    },
    Key {
        name: "require_key_protection",
        variable: "KEYWARD_REQUIRE_KEY_PROTECTION",
        doc: "\"tpm\" refuses to work with keys that could leave the device.",
        apply: |config, raw, origin| {
            let value = raw.one_of(RequiredKeyProtection::ALL)?;
            config.require_key_protection.tighten(value, origin)
        },
        show: |config| quoted(&config.require_key_protection),
    },
    Key {
        name: "hardening.landlock",
        variable: "KEYWARD_HARDENING_LANDLOCK",
        doc: "false lets keywardd open files outside its own folders. Default: true.",
        apply: |config, raw, origin| {
            let landlock = &mut config.hardening.landlock;
            landlock.tighten(raw.boolean()?, origin)
        },
        show: |config| plain(&config.hardening.landlock),
    },
    Key {
        name: "hardening.seccomp",
        variable: "KEYWARD_HARDENING_SECCOMP",
        doc: "false lets keywardd make system calls it has no use for. Default: true.",
        apply: |config, raw, origin| {
            let seccomp = &mut config.hardening.seccomp;
            seccomp.tighten(raw.boolean()?, origin)
        },
        show: |config| plain(&config.hardening.seccomp),
    },
    Key {
        name: "idle_exit_seconds",
        variable: "KEYWARD_IDLE_EXIT_SECONDS",
        doc: "After how long without requests keywardd ends; 0: never. \"auto\": 600 where a \
              service manager holds its socket, else never.",
        apply: |config, raw, origin| {
            config.idle_exit.set(IdleExit::read(raw)?, origin);
            Ok(())
        },
        show: |config| plain(&config.idle_exit),
    },
    Key {
        name: "interactive.deadline_seconds",
        variable: "KEYWARD_INTERACTIVE_DEADLINE_SECONDS",
        doc: "How long a person may take to sign in; Microsoft's clients give up after 300.",
        apply: |config, raw, origin| {
            let seconds = raw.seconds(1..=3600)?;
            config.interactive_deadline.set(seconds, origin);
            Ok(())
        },
        show: |config| {
            let deadline = &config.interactive_deadline;
            (
                deadline.value.as_secs().to_string(),
                deadline.origin.clone(),
            )
        },
    },
    Key {
        name: "audit.to",
        variable: "KEYWARD_AUDIT_TO",
        doc: "Where outcomes are recorded: \"file\" in the state folder, \"journald\", or \"off\".",
        apply: |config, raw, origin| {
            let to = raw.one_of(AuditDestination::ALL)?;
            config.audit.to.choose(to, origin)
        },
        show: |config| quoted(&config.audit.to),
    },
    Key {
        name: "audit.required",
        variable: "KEYWARD_AUDIT_REQUIRED",
        doc: "true refuses requests while outcomes cannot be recorded. Default: false.",
        apply: |config, raw, origin| config.audit.required.tighten(raw.boolean()?, origin),
        show: |config| plain(&config.audit.required),
    },
    Key {
        name: "audit.file_mib",
        variable: "KEYWARD_AUDIT_FILE_MIB",
        doc: "How large a file of records may become before the next is begun, in MiB.",
        apply: |config, raw, origin| {
            config.audit.file_mib.set(raw.number(1..=1024)?, origin);
            Ok(())
        },
        show: |config| plain(&config.audit.file_mib),
    },
    Key {
        name: "audit.files",
        variable: "KEYWARD_AUDIT_FILES",
        doc: "How many files of records are kept.",
        apply: |config, raw, origin| {
            config.audit.files.set(raw.number(2..=100)?, origin);
            Ok(())
        },
        show: |config| plain(&config.audit.files),
    },
    Key {
        name: "limits.requests_per_second",
        variable: "KEYWARD_LIMITS_REQUESTS_PER_SECOND",
        doc: "How many requests a second one caller may go on making; 50 times as many at once.",
        apply: |config, raw, origin| {
            let rate = raw.number(1..=1_000_000)?;
            config.limits.requests_per_second.set(rate, origin);
            Ok(())
        },
        show: |config| plain(&config.limits.requests_per_second),
    },
    Key {
        name: "limits.network_per_minute",
        variable: "KEYWARD_LIMITS_NETWORK_PER_MINUTE",
        doc: "How many requests a minute of one caller may reach an authority.",
        apply: |config, raw, origin| {
            let rate = raw.number(1..=1_000_000)?;
            config.limits.network_per_minute.set(rate, origin);
            Ok(())
        },
        show: |config| plain(&config.limits.network_per_minute),
    },
    Key {
        name: "policy.default",
        variable: "KEYWARD_POLICY_DEFAULT",
        doc: "What becomes of programs no rule speaks of: \"allow\", \"ask\" or \"deny\".",
        apply: |config, raw, origin| {
            let verdict = raw.one_of(Verdict::ALL)?;
            config.policy.default.tighten(verdict, origin)
        },
        show: |config| quoted(&config.policy.default),
    },
    Key {
        name: "policy.sandboxed",
        variable: "KEYWARD_POLICY_SANDBOXED",
        doc: "The same for sandboxed programs (Flatpak, Snap, containers).",
        apply: |config, raw, origin| {
            let verdict = raw.one_of(Verdict::ALL)?;
            config.policy.sandboxed.tighten(verdict, origin)
        },
        show: |config| quoted(&config.policy.sandboxed),
    },
    Key {
        name: "policy.unknown",
        variable: "KEYWARD_POLICY_UNKNOWN",
        doc: "The same for programs that cannot be told from others.",
        apply: |config, raw, origin| {
            let verdict = raw.one_of(Verdict::ALL)?;
            config.policy.unknown.tighten(verdict, origin)
        },
        show: |config| quoted(&config.policy.unknown),
    },
    Key {
        name: "user_agent.command",
        variable: "KEYWARD_USER_AGENT_COMMAND",
        doc: "The program that shows sign-in pages; {url} in it becomes the address. Empty: \
              $BROWSER, then xdg-open.",
        apply: |config, raw, origin| {
            config.user_agent_command.set(command(raw)?, origin);
            Ok(())
        },
        show: |config| {
            let command = &config.user_agent_command;
            (list(&command.value), command.origin.clone())
        },
    },
    Key {
        name: "cli.client_id",
        variable: "KEYWARD_CLIENT_ID",
        doc: "The client id the keyward command uses where --client-id is not given.",
        apply: |config, raw, origin| {
            let value = Some(raw.text()?.to_owned());
            config.cli.client_id.set(value, origin);
            Ok(())
        },
        show: |config| optional(&config.cli.client_id),
    },
    Key {
        name: "cli.authority",
        variable: "KEYWARD_AUTHORITY",
        doc: "The authority the keyward command uses where --authority is not given.",
        apply: |config, raw, origin| {
            let value = Some(raw.text()?.to_owned());
            config.cli.authority.set(value, origin);
            Ok(())
        },
        show: |config| optional(&config.cli.authority),
    },
    Key {
        name: "cli.login_hint",
        variable: "KEYWARD_LOGIN_HINT",
        doc: "The user name the keyward command suggests where none is given.",
        apply: |config, raw, origin| {
            let value = Some(raw.text()?.to_owned());
            config.cli.login_hint.set(value, origin);
            Ok(())
        },
        show: |config| optional(&config.cli.login_hint),
    },
];

/// A value as found: in a file, or as the text of a variable or flag.
pub(crate) enum Raw<'a> {
    /// A value of a file.
    Toml(&'a DeValue<'a>),
    /// Text.
    Text(&'a str),
}

impl Raw<'_> {
    /// One line of printable text.
    pub(crate) fn text(&self) -> Result<&str, String> {
        let text = match self {
            Self::Toml(DeValue::String(text)) => text.as_ref(),
            Self::Toml(other) => return Err(format!("has to be text, not {}", kind_of(other))),
            Self::Text(text) => text,
        };
        if text.chars().any(char::is_control) {
            return Err("has control characters in it".to_owned());
        }
        Ok(text)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, String> {
        match self {
            Self::Toml(DeValue::Boolean(value)) => Ok(*value),
            Self::Toml(other) => Err(format!("has to be true or false, not {}", kind_of(other))),
            Self::Text(text) => text
                .parse()
                .map_err(|_| format!("has to be true or false, not \"{text}\"")),
        }
    }

    /// Text or a list of texts.
    pub(crate) fn texts(&self) -> Result<Vec<String>, String> {
        let Self::Toml(DeValue::Array(items)) = self else {
            return Ok(vec![self.text()?.to_owned()]);
        };
        items
            .iter()
            .map(|item| Raw::Toml(item.get_ref()).text().map(str::to_owned))
            .collect()
    }

    /// One of these spellings.
    pub(crate) fn one_of<T: Copy + fmt::Display>(&self, all: &[T]) -> Result<T, String> {
        let text = self.text()?;
        let found = all.iter().find(|value| value.to_string() == text);
        found.copied().ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|value| format!("\"{value}\"")).collect();
            format!("has to be {}, not \"{text}\"", known.join(" or "))
        })
    }

    /// A whole number.
    pub(crate) fn number(&self, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
        let number = match self {
            Self::Toml(DeValue::Integer(number)) => {
                u32::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Self::Toml(_) => None,
            Self::Text(text) => text.parse().ok(),
        };
        let (least, most) = (range.start(), range.end());
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("has to be a number from {least} to {most}"))
    }

    pub(crate) fn seconds(&self, range: std::ops::RangeInclusive<u64>) -> Result<Duration, String> {
        let number = match self {
            Self::Toml(DeValue::Integer(number)) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Self::Toml(_) => None,
            Self::Text(text) => text.parse().ok(),
        };
        number
            .filter(|seconds| range.contains(seconds))
            .map(Duration::from_secs)
            .ok_or_else(|| {
                format!(
                    "has to be a number of seconds from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}

/// A command as a list of arguments, or as one text split at spaces.
fn command(raw: &Raw<'_>) -> Result<Vec<String>, String> {
    let command = match raw {
        Raw::Toml(DeValue::Array(_)) => raw.texts()?,
        _ => raw.text()?.split_whitespace().map(str::to_owned).collect(),
    };
    match command.first() {
        Some(program) if program.is_empty() => Err("names an empty program".to_owned()),
        Some(program) if program.contains("{url}") => {
            Err("has to begin with a program, not with {url}".to_owned())
        }
        _ => Ok(command),
    }
}

/// What kind of TOML value it is, for messages.
pub(crate) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value whose text is its spelling in a file.
fn plain<T: fmt::Display>(setting: &Setting<T>) -> (String, Origin) {
    (setting.value.to_string(), setting.origin.clone())
}

fn quoted<T: fmt::Display>(setting: &Setting<T>) -> (String, Origin) {
    (
        toml::Value::String(setting.value.to_string()).to_string(),
        setting.origin.clone(),
    )
}

/// Text that need not be there.
fn optional(setting: &Setting<Option<String>>) -> (String, Origin) {
    let text = setting.value.clone().unwrap_or_default();
    (
        toml::Value::String(text).to_string(),
        setting.origin.clone(),
    )
}

/// A list of texts as TOML.
pub(crate) fn list(items: &[String]) -> String {
    let items = items.iter().cloned().map(toml::Value::String).collect();
    toml::Value::Array(items).to_string()
}
