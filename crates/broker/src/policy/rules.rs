//! `[policy]`: a request goes in, a verdict comes out. No clock, no file, no memory.

use keyward_broker_ipc::program::{Facts, Program, Sandbox};
use keyward_client::oauth::scope::Scopes;
use keyward_config::{Policy as Configured, PolicyRule, Setting, Verdict};

use super::pattern::{Fold, Pattern};

/// What decides where no rule does.
pub(super) const DEFAULT: &str = "policy.default";

/// What is asked for, and by which program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) program: &'a Program,
    /// The client id; empty where the broker itself is to be managed.
    pub(crate) client_id: &'a str,
    pub(crate) scopes: &'a Scopes,
    pub(crate) account: AccountAsked<'a>,
}

/// For which account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountAsked<'a> {
    /// For none.
    None,
    /// For one that is not known yet.
    Open,
    /// For this one, by its names as far as they are known.
    Known {
        username: Option<&'a str>,
        home: Option<&'a str>,
    },
}

/// A verdict, and what decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruling<'r> {
    pub(crate) verdict: Verdict,
    /// The rule, by its place in the configuration or the name of the default.
    pub(crate) rule: &'r str,
}

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Rules {
    in_order: Vec<Rule>,
    default: (Verdict, bool),
    sandboxed: (Verdict, bool),
    unknown: (Verdict, bool),
}

#[derive(Debug)]
struct Rule {
    name: String,
    verdict: Verdict,
    /// Whether it is the administrator's, whose defaults do not bind it.
    administrator: bool,
    executable: Option<Pattern>,
    sandbox: Option<SandboxPattern>,
    client_id: Option<Pattern>,
    scope: Option<Pattern>,
    account: Option<Pattern>,
}

#[derive(Debug)]
enum SandboxPattern {
    Any,
    None,
    Container,
    Flatpak(Pattern),
    Snap(Pattern),
}

/// Whether a rule speaks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    No,
    /// That depends on the account.
    Perhaps,
    Yes,
}

impl Rules {
    pub(crate) fn new(configured: &Configured) -> Self {
        let rules = configured.rules().iter().enumerate();
        Self {
            in_order: rules.map(|(index, rule)| Rule::new(index, rule)).collect(),
            default: of(&configured.default),
            sandboxed: of(&configured.sandboxed),
            unknown: of(&configured.unknown),
        }
    }

    /// Whether what a token turns out to be for can change a verdict.
    pub(crate) fn look_at_answers(&self) -> bool {
        let mut rules = self.in_order.iter();
        rules.any(|rule| rule.scope.is_some() || rule.account.is_some())
    }

    /// The first rule that fits, else the default. Where that depends on an account nobody knows
    /// yet, the laxest verdict that is possible: the answer is judged once more when it is there.
    pub(crate) fn judge(&self, asked: &Asked<'_>) -> Ruling<'_> {
        let (default, floor) = self.default_for(asked.program);
        let mut laxest = None;
        for rule in &self.in_order {
            let fit = rule.fit(asked);
            if fit == Fit::No {
                continue;
            }
            // A user's rule cannot allow what the administrator's default does not.
            let verdict = if rule.administrator {
                rule.verdict
            } else {
                rule.verdict.max(floor)
            };
            let ruling = Ruling {
                verdict,
                rule: &rule.name,
            };
            if fit == Fit::Yes {
                return laxer(laxest, ruling);
            }
            laxest = Some(laxer(laxest, ruling));
        }
        laxer(laxest, default)
    }

    /// The verdict for programs no rule speaks of, and what the administrator demands of them at
    /// least.
    fn default_for(&self, program: &Facts) -> (Ruling<'static>, Verdict) {
        let own = if program.sandbox == Some(Sandbox::Unseen) && self.unknown > self.sandboxed {
            Some((self.unknown, "policy.unknown"))
        } else if program.sandbox.is_some() {
            Some((self.sandboxed, "policy.sandboxed"))
        } else if program.executable.is_none() {
            Some((self.unknown, "policy.unknown"))
        } else {
            None
        };
        let floor = |(verdict, administrator): (Verdict, bool)| {
            if administrator {
                verdict
            } else {
                Verdict::Allow
            }
        };
        let mut ruling = Ruling {
            verdict: self.default.0,
            rule: DEFAULT,
        };
        let mut at_least = floor(self.default);
        if let Some((setting, rule)) = own {
            at_least = at_least.max(floor(setting));
            if setting.0 >= ruling.verdict {
                ruling = Ruling {
                    verdict: setting.0,
                    rule,
                };
            }
        }
        (ruling, at_least)
    }
}

fn laxer<'r>(one: Option<Ruling<'r>>, other: Ruling<'r>) -> Ruling<'r> {
    one.filter(|one| one.verdict <= other.verdict)
        .unwrap_or(other)
}

fn of(setting: &Setting<Verdict>) -> (Verdict, bool) {
    (setting.value, setting.origin.is_administrator())
}

impl Rule {
    fn new(index: usize, rule: &PolicyRule) -> Self {
        let pattern = |text: &Option<String>, fold| text.as_ref().map(|t| Pattern::new(t, fold));
        Self {
            name: format!("policy.rule[{index}] ({})", rule.origin),
            verdict: rule.verdict,
            administrator: rule.origin.is_administrator(),
            executable: pattern(&rule.executable, Fold::Path),
            sandbox: rule.sandbox.as_deref().map(SandboxPattern::new),
            client_id: pattern(&rule.client_id, Fold::Case),
            scope: pattern(&rule.scope, Fold::Case),
            account: pattern(&rule.account, Fold::Case),
        }
    }

    fn fit(&self, asked: &Asked<'_>) -> Fit {
        let program = asked.program;
        let executable = self.executable.as_ref().is_none_or(|pattern| {
            let executable = program.executable.as_ref();
            executable.is_some_and(|executable| pattern.fits(&executable.path))
        });
        let sandbox = self.sandbox.as_ref().is_none_or(|s| s.fits(program));
        let client = self
            .client_id
            .as_ref()
            .is_none_or(|pattern| !asked.client_id.is_empty() && pattern.fits(asked.client_id));
        let scopes = self
            .scope
            .as_ref()
            .is_none_or(|p| self.fits_scopes(p, asked.scopes));
        if !(executable && sandbox && client && scopes) {
            return Fit::No;
        }
        match (&self.account, asked.account) {
            (None, _) => Fit::Yes,
            (Some(_), AccountAsked::None) => Fit::No,
            (Some(_), AccountAsked::Open) => Fit::Perhaps,
            (Some(pattern), AccountAsked::Known { username, home }) => {
                let fits = |name: Option<&str>| name.is_some_and(|name| pattern.fits(name));
                match (fits(username) || fits(home), username.and(home)) {
                    (true, _) => Fit::Yes,
                    (false, Some(_)) => Fit::No,
                    // It has another name, which may fit.
                    (false, None) => Fit::Perhaps,
                }
            }
        }
    }

    /// What is allowed is allowed scope by scope; what is not needs only one.
    fn fits_scopes(&self, pattern: &Pattern, scopes: &Scopes) -> bool {
        let mut asked = scopes.of_resources().peekable();
        match self.verdict {
            Verdict::Allow => asked.peek().is_some() && asked.all(|scope| pattern.fits(scope)),
            Verdict::Ask | Verdict::Deny => asked.any(|scope| pattern.fits(scope)),
        }
    }
}

impl SandboxPattern {
    /// As the configuration has checked it.
    fn new(text: &str) -> Self {
        let of = |text| Pattern::new(text, Fold::Exact);
        match text.split_once(':') {
            Some(("flatpak", id)) => Self::Flatpak(of(id)),
            Some(("snap", name)) => Self::Snap(of(name)),
            _ if text == "none" => Self::None,
            _ if text == "container" => Self::Container,
            _ => Self::Any,
        }
    }

    fn fits(&self, program: &Facts) -> bool {
        match (self, &program.sandbox) {
            (Self::Any, Some(_)) | (Self::Container, Some(Sandbox::Container)) => true,
            // Of a program nobody could look at, nobody can say that it is in none.
            (Self::None, None) => program.executable.is_some(),
            (Self::Flatpak(pattern), Some(Sandbox::Flatpak(name)))
            | (Self::Snap(pattern), Some(Sandbox::Snap(name))) => pattern.fits(name),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
