//! The configuration in force, and how the layers become it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use crate::Permit;
use crate::audit::{Audit, RateLimits};
use crate::authority::{self, Authority, Stated};
use crate::device::{KeyProtectionChoice, TpmSettings, WrappingKeyPlace};
use crate::document::{self, Document, Entry};
use crate::environment::{Environment, FileSource, FlagName};
use crate::error::{ConfigError, Problem};
use crate::hardening::{Hardening, IdleExit};
use crate::key::{self, KEYS, Key, Raw};
use crate::nearest::{distance, nearest};
use crate::origin::{Origin, Setting};
use crate::policy::{Policy, StatedRule};

/// The configuration in force. Every value knows where it came from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where new binding keys are made.
    pub key_protection: Setting<KeyProtectionChoice>,
    /// The TPM, and whether its keys want a PIN.
    pub tpm: TpmSettings,
    /// Where the key is kept that seals software keys.
    pub wrapping_key: Setting<WrappingKeyPlace>,
    /// What is logged, as `tracing` directives.
    pub log: Setting<String>,
    /// Which bindings are acceptable.
    pub require_binding: Setting<RequiredBinding>,
    /// Which key protections are acceptable.
    pub require_key_protection: Setting<RequiredKeyProtection>,
    /// What the kernel keeps keywardd from after start-up.
    pub hardening: Hardening,
    /// When keywardd ends because nobody asks it for anything.
    pub idle_exit: Setting<IdleExit>,
    /// What is recorded of every outcome, and where.
    pub audit: Audit,
    /// How much one caller may ask for over time.
    pub limits: RateLimits,
    /// How long a person may take to sign in.
    pub interactive_deadline: Setting<Duration>,
    /// The program and arguments that show a sign-in page, `{url}` standing for its address.
    /// Empty: the system's choice.
    pub user_agent_command: Setting<Vec<String>>,
    /// What the `keyward` command asks for where its arguments do not say.
    pub cli: CommandLineDefaults,
    /// Which programs may have tokens.
    pub policy: Policy,
    authorities: Vec<Authority>,
    warnings: Vec<String>,
}

/// What the `keyward` command asks for where its arguments do not say.
#[derive(Clone, Debug)]
pub struct CommandLineDefaults {
    /// The client id.
    pub client_id: Setting<Option<String>>,
    /// The authority.
    pub authority: Setting<Option<String>>,
    /// The user name to suggest.
    pub login_hint: Setting<Option<String>>,
}

/// Which bindings are acceptable. Greater is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredBinding {
    /// Any.
    Any,
    /// Only refresh tokens that are useless without a key of this device.
    SenderConstrained,
}

/// Which key protections are acceptable. Greater is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredKeyProtection {
    /// Any.
    Any,
    /// Only keys that cannot leave the device.
    Tpm,
}

impl RequiredBinding {
    pub(crate) const ALL: &[Self] = &[Self::Any, Self::SenderConstrained];
}

impl RequiredKeyProtection {
    pub(crate) const ALL: &[Self] = &[Self::Any, Self::Tpm];
}

impl fmt::Display for RequiredBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::SenderConstrained => "sender-constrained",
        })
    }
}

impl fmt::Display for RequiredKeyProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Tpm => "tpm",
        })
    }
}

impl Default for Config {
    /// The built-in defaults: what is in force without any file, variable or flag.
    fn default() -> Self {
        Self {
            key_protection: Setting::default_of(KeyProtectionChoice::TpmOrSoftware),
            tpm: TpmSettings::default(),
            wrapping_key: Setting::default_of(WrappingKeyPlace::File),
            log: Setting::default_of("info".to_owned()),
            require_binding: Setting::default_of(RequiredBinding::Any),
            require_key_protection: Setting::default_of(RequiredKeyProtection::Any),
            hardening: Hardening::default(),
            audit: Audit::default(),
            limits: RateLimits::default(),
            idle_exit: Setting::default_of(IdleExit::Automatic),
            interactive_deadline: Setting::default_of(Duration::from_secs(285)),
            user_agent_command: Setting::default_of(Vec::new()),
            cli: CommandLineDefaults {
                client_id: Setting::default_of(None),
                authority: Setting::default_of(None),
                login_hint: Setting::default_of(None),
            },
            policy: Policy::default(),
            authorities: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// The configured authorities.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// What is probably not meant, but stops nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A configuration while its layers are read, and what was wrong with them.
pub(crate) struct Draft {
    config: Config,
    permit: Permit,
    uid: u32,
    problems: Vec<Problem>,
}

impl Draft {
    pub(crate) fn new(environment: &Environment, permit: Permit) -> Self {
        Self {
            config: Config::default(),
            permit,
            uid: environment.uid(),
            problems: Vec::new(),
        }
    }

    /// What could be read, and what is wrong.
    pub(crate) fn finish(mut self) -> (Config, Option<ConfigError>) {
        self.warn_of_the_impossible();
        (self.config, ConfigError::of(self.problems))
    }

    /// A demand that cannot be met is kept to: nobody can sign in then, and that is worth saying.
    fn warn_of_the_impossible(&mut self) {
        let (required, choice) = (
            &self.config.require_key_protection,
            &self.config.key_protection,
        );
        if required.value == RequiredKeyProtection::Tpm
            && choice.value == KeyProtectionChoice::Software
        {
            self.config.warnings.push(format!(
                "{}: `require_key_protection` \"tpm\" refuses every sign-in, because `key_protection` \
                 is \"software\" ({})",
                required.origin, choice.origin
            ));
        }
    }

    /// Reads one file.
    pub(crate) fn file(&mut self, source: FileSource, path: &Path) {
        let origin = |line| Origin::File {
            layer: source.layer(),
            path: path.to_owned(),
            line,
        };
        let text = match document::read(path, self.uid) {
            Ok(Some(text)) => text,
            Ok(None) if source == FileSource::Named => {
                return self.problem(
                    origin(0),
                    format!("does not exist, but ${} names it", key::CONFIG_VARIABLE),
                );
            }
            Ok(None) if source == FileSource::NamedSystem => {
                return self.problem(origin(0), "does not exist".to_owned());
            }
            Ok(None) => return,
            Err(message) => return self.problem(origin(0), message),
        };
        match Document::parse(&text) {
            Ok(document) => {
                for entry in document.entries(key::TABLES) {
                    match entry.name.as_str() {
                        "authority" => self.authorities(&document, &entry, &origin),
                        "policy.rule" => self.rules(&document, &entry, &origin),
                        _ => self.entry(&entry, &origin(entry.line)),
                    }
                }
            }
            Err((line, message)) => self.problem(origin(line), message),
        }
    }

    /// Reads the `KEYWARD_…` variables that stand for keys.
    pub(crate) fn variables(&mut self, environment: &Environment) {
        for (name, value) in environment.own_variables() {
            let origin = Origin::Variable(name.to_owned());
            match KEYS.iter().find(|key| key.variable == name) {
                Some(key) => match value.to_str() {
                    Some(text) => self.apply(key, &Raw::Text(text), &origin),
                    None => self.problem(origin, "is not UTF-8".to_owned()),
                },
                None => self.warn_if_mistyped(name),
            }
        }
    }

    /// Reads the flags that stand for keys.
    pub(crate) fn flags(&mut self, environment: &Environment) {
        for (flag, value) in environment.flags() {
            let name = match flag {
                FlagName::Log => "log",
                FlagName::KeyProtection => "key_protection",
                FlagName::Socket | FlagName::StateDir => continue,
            };
            let origin = Origin::Flag(flag.as_str().to_owned());
            if let Some(key) = KEYS.iter().find(|key| key.name == name) {
                self.apply(key, &Raw::Text(value), &origin);
            }
        }
    }

    /// Takes the authorities the program adds.
    pub(crate) fn program(&mut self, environment: &Environment) {
        let Some((program, entries)) = environment.program() else {
            return;
        };
        let origin = Origin::Program(program.to_owned());
        for entry in entries {
            self.authority(Stated::of_entry(entry), &origin);
        }
    }

    fn entry(&mut self, entry: &Entry<'_>, origin: &Origin) {
        if let Some(key) = KEYS.iter().find(|key| key.name == entry.name) {
            return self.apply(key, &Raw::Toml(entry.value), origin);
        }
        let message = if key::TABLES.contains(&entry.name.as_str()) {
            let kind = key::kind_of(entry.value);
            format!("`{}` has to be a table, not {kind}", entry.name)
        } else {
            unknown(&entry.name)
        };
        self.problem(origin.clone(), message);
    }

    fn apply(&mut self, key: &Key, raw: &Raw<'_>, origin: &Origin) {
        if let Err(message) = (key.apply)(&mut self.config, raw, origin) {
            let message = format!("`{}` {message}", key.name);
            self.problem(origin.clone(), message);
        }
    }

    fn authorities(
        &mut self,
        document: &Document<'_>,
        entry: &Entry<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) {
        let read = |stated: &mut Stated, name: &str, raw: &Raw<'_>| stated.read(name, raw);
        for (line, stated) in self.tables(document, entry, origin, read) {
            self.authority(stated, &origin(line));
        }
    }

    fn rules(
        &mut self,
        document: &Document<'_>,
        entry: &Entry<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) {
        let read = |stated: &mut StatedRule, name: &str, raw: &Raw<'_>| stated.read(name, raw);
        for (line, stated) in self.tables(document, entry, origin, read) {
            match stated.finish(&origin(line)) {
                Ok(rule) => self.config.policy.rules.push(rule),
                Err(message) => self.problem(origin(line), message),
            }
        }
    }

    /// The tables of a list that could be read whole, each with its line.
    fn tables<T: Default>(
        &mut self,
        document: &Document<'_>,
        entry: &Entry<'_>,
        origin: &impl Fn(usize) -> Origin,
        read: impl Fn(&mut T, &str, &Raw<'_>) -> Result<(), String>,
    ) -> Vec<(usize, T)> {
        let name = &entry.name;
        let no_list = || format!("`{name}` has to be a list of tables: write [[{name}]]");
        let DeValue::Array(items) = entry.value else {
            self.problem(origin(entry.line), no_list());
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            let line = document.line(item);
            let DeValue::Table(table) = item.get_ref() else {
                self.problem(origin(line), no_list());
                continue;
            };
            let mut stated = T::default();
            let mut sound = true;
            for field in document.table(table, "") {
                if let Err(message) = read(&mut stated, &field.name, &Raw::Toml(field.value)) {
                    self.problem(origin(field.line), message);
                    sound = false;
                }
            }
            if sound {
                tables.push((line, stated));
            }
        }
        tables
    }

    fn authority(&mut self, stated: Stated, origin: &Origin) {
        let merged = authority::merge(&mut self.config.authorities, stated, origin, self.permit);
        if let Err(message) = merged {
            self.problem(origin.clone(), message);
        }
    }

    /// A variable that looks like one of ours is worth a word; others belong to other programs.
    fn warn_if_mistyped(&mut self, name: &str) {
        let ours = || {
            let keys = KEYS.iter().map(|key| key.variable);
            keys.chain(key::OTHER_VARIABLES.iter().copied())
        };
        if ours().any(|known| known == name) {
            return;
        }
        if let Some(meant) = ours().find(|known| distance(name, known) <= 2) {
            self.config
                .warnings
                .push(format!("${name} is not known: did you mean ${meant}?"));
        }
    }

    fn problem(&mut self, origin: Origin, message: String) {
        self.problems.push(Problem { origin, message });
    }
}

fn known_names() -> impl Iterator<Item = &'static str> {
    let keys = KEYS.iter().map(|key| key.name);
    keys.chain(key::TABLES.iter().copied())
        .chain(key::LISTS.iter().copied())
}

/// The message for a key nobody knows, in a table of ours or not.
fn unknown(name: &str) -> String {
    let table = name.split_once('.').map(|(table, _)| table);
    let Some(table) = table.filter(|table| key::TABLES.contains(table)) else {
        return unknown_key(name, known_names());
    };
    let prefix = format!("{table}.");
    let within = || {
        let names = KEYS.iter().map(|key| key.name);
        let names = names.chain(key::LISTS.iter().copied());
        names.filter_map(|known| known.strip_prefix(&prefix))
    };
    if let Some(meant) = nearest(&name[prefix.len()..], within()) {
        return format!("there is no key `{name}`: did you mean `{prefix}{meant}`?");
    }
    let known: Vec<String> = within().map(|known| format!("`{known}`")).collect();
    let known = known.join(", ");
    format!("there is no key `{name}`: in `{table}` there is {known}")
}

/// The message for a key nobody knows.
pub(crate) fn unknown_key<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(meant) => format!("there is no key `{name}`: did you mean `{meant}`?"),
        None => format!("there is no key `{name}`"),
    }
}
