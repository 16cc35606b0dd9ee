//! `[policy]`: which programs may have tokens, and which have to be asked about first.

use std::fmt;

use crate::explain::Explanation;
use crate::key::Raw;
use crate::origin::{Origin, Setting};
use crate::settings::unknown_key;

/// Who may have tokens.
#[derive(Clone, Debug)]
pub struct Policy {
    /// For programs no rule speaks of.
    pub default: Setting<Verdict>,
    /// For sandboxed programs no rule speaks of; at least as strict as `default`.
    pub sandboxed: Setting<Verdict>,
    /// For programs that cannot be told from others, where no rule speaks of them; at least as
    /// strict as `default`.
    pub unknown: Setting<Verdict>,
    pub(crate) rules: Vec<PolicyRule>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default: Setting::default_of(Verdict::Allow),
            sandboxed: Setting::default_of(Verdict::Ask),
            unknown: Setting::default_of(Verdict::Ask),
            rules: Vec::new(),
        }
    }
}

impl Policy {
    /// The rules in the order they are matched: the administrator's first.
    pub fn rules(&self) -> &[PolicyRule] {
        &self.rules
    }
}

/// What becomes of a request. Greater is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is answered.
    Allow,
    /// The person is asked first, once.
    Ask,
    /// It is refused.
    Deny,
}

impl Verdict {
    pub(crate) const ALL: &[Self] = &[Self::Allow, Self::Ask, Self::Deny];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        })
    }
}

/// One `[[policy.rule]]`. It speaks of a request that fits every pattern it has; in patterns `*`
/// stands for any characters (in paths, except `/`), `**` for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// The path of the executable.
    pub executable: Option<String>,
    /// The sandbox, as `flatpak:ID`, `snap:NAME`, `container`; `none` for programs outside of one.
    pub sandbox: Option<String>,
    /// The client id.
    pub client_id: Option<String>,
    /// The scopes: for `allow` each of them, else any.
    pub scope: Option<String>,
    /// The account's user name or home account id.
    pub account: Option<String>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Where the rule is written.
    pub origin: Origin,
}

/// A rule while its keys are read.
#[derive(Default)]
pub(crate) struct StatedRule {
    executable: Option<String>,
    sandbox: Option<String>,
    client_id: Option<String>,
    scope: Option<String>,
    account: Option<String>,
    verdict: Option<Verdict>,
}

const FIELDS: [&str; 6] = [
    "executable",
    "sandbox",
    "client_id",
    "scope",
    "account",
    "verdict",
];

impl StatedRule {
    /// Reads one key of a table.
    pub(crate) fn read(&mut self, name: &str, raw: &Raw<'_>) -> Result<(), String> {
        let pattern = || match raw.text()? {
            "" => Err("is empty: leave it out to mean any".to_owned()),
            text => Ok(Some(text.to_owned())),
        };
        let read = match name {
            "executable" => path_pattern(raw).map(|path| self.executable = path),
            "sandbox" => sandbox_pattern(raw).map(|sandbox| self.sandbox = sandbox),
            "client_id" => pattern().map(|pattern| self.client_id = pattern),
            "scope" => pattern().map(|pattern| self.scope = pattern),
            "account" => pattern().map(|pattern| self.account = pattern),
            "verdict" => raw
                .one_of(Verdict::ALL)
                .map(|verdict| self.verdict = Some(verdict)),
            unknown => return Err(unknown_key(unknown, FIELDS)),
        };
        read.map_err(|message| format!("`{name}` {message}"))
    }

    /// The rule, once all of it is read.
    pub(crate) fn finish(self, origin: &Origin) -> Result<PolicyRule, String> {
        let missing = "`verdict` is missing: write \"allow\", \"ask\" or \"deny\"";
        Ok(PolicyRule {
            executable: self.executable,
            sandbox: self.sandbox,
            client_id: self.client_id,
            scope: self.scope,
            account: self.account,
            verdict: self.verdict.ok_or(missing)?,
            origin: origin.clone(),
        })
    }
}

fn path_pattern(raw: &Raw<'_>) -> Result<Option<String>, String> {
    let text = raw.text()?;
    if text.starts_with('/') || text.starts_with("**") {
        return Ok(Some(text.to_owned()));
    }
    Err(format!(
        "has to be an absolute path, or a pattern that begins with / or **, not \"{text}\""
    ))
}

fn sandbox_pattern(raw: &Raw<'_>) -> Result<Option<String>, String> {
    let text = raw.text()?;
    let known = ["flatpak:", "snap:"].iter().any(|kind| {
        text.strip_prefix(kind)
            .is_some_and(|pattern| !pattern.is_empty())
    });
    if known || ["*", "none", "container"].contains(&text) {
        return Ok(Some(text.to_owned()));
    }
    Err(format!(
        "has to be \"flatpak:ID\", \"snap:NAME\", \"container\", \"*\" or \"none\", not \"{text}\""
    ))
}

/// The row `keyward config check` shows for one rule.
pub(crate) fn explain(index: usize, rule: &PolicyRule) -> Explanation {
    let patterns = [
        ("executable", &rule.executable),
        ("sandbox", &rule.sandbox),
        ("client_id", &rule.client_id),
        ("scope", &rule.scope),
        ("account", &rule.account),
    ];
    let verdict = rule.verdict.to_string();
    let verdict = [("verdict", &verdict)].into_iter();
    let stated = patterns
        .iter()
        .filter_map(|(name, pattern)| pattern.as_ref().map(|pattern| (*name, pattern)));
    let stated = stated.chain(verdict).map(|(name, text)| {
        let text = toml::Value::String(text.clone());
        format!("{name} = {text}")
    });
    let stated: Vec<String> = stated.collect();
    Explanation {
        key: format!("policy.rule[{index}]"),
        value: format!("{{ {} }}", stated.join(", ")),
        origin: rule.origin.clone(),
        variable: None,
        doc: "A rule about callers; the first one that fits counts.".to_owned(),
    }
}
