//! The program behind a caller: which executable, in which sandbox, started by whom.
//!
//! It is found from the process the transport names, once per connection, and informs people and
//! rules about callers. For programs of the same user it is no boundary: they can start, replace
//! and trace each other. It is one for sandboxed applications, which cannot.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

mod encoded;
mod files;
mod links;
mod look;
mod lookup;
mod pinned;
mod process;

pub(crate) use encoded::Encoded;
pub use links::Links;
pub use lookup::Lookup;
pub use pinned::Pinned;

/// A program, as far as it can be known. What is not known is `None`, and `unknown` says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    facts: Facts,
    id: String,
    encoded: String,
}

/// What is known about a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What the process calls itself (`comm`). It may call itself anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The executable, where its path means the same file here as it does for the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<Executable>,
    /// The process that started it, or adopted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// What it is confined to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// Why the executable is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// The file a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Its path.
    pub path: String,
    /// Which file it is, where others than root could put another one at the path. `None`: only
    /// root could, so the path says enough, and an update is not another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileIdentity>,
}

/// Which file it is. Another file at the same path differs in it, and so does the same file after
/// somebody wrote to it. Device numbers are left out: they change with a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Its inode.
    pub inode: u64,
    /// When it was changed last, in nanoseconds since the epoch.
    pub changed: i128,
}

/// The process that started another one. For people; it proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// What the process calls itself.
    pub name: String,
    /// The path of its executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What a program is confined to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// A Flatpak, with its application id.
    Flatpak(String),
    /// A Snap, with its name.
    Snap(String),
    /// File systems or processes of its own, with no name we know.
    Container,
    /// Nobody could look, so it may be any of these.
    Unseen,
}

impl Sandbox {
    /// `flatpak:ID`, `snap:NAME`, `container` or `unseen`.
    pub fn id(&self) -> String {
        match self {
            Self::Flatpak(id) => format!("flatpak:{id}"),
            Self::Snap(name) => format!("snap:{name}"),
            Self::Container => "container".to_owned(),
            Self::Unseen => "unseen".to_owned(),
        }
    }
}

impl Program {
    /// A program of which this is known.
    pub fn of(facts: Facts) -> Self {
        let id = identity(&facts);
        // INVARIANT: only texts and numbers, which always can be written.
        let json = serde_json::to_vec(&facts).unwrap_or_default();
        Self {
            facts,
            id,
            encoded: BASE64_URL_SAFE_NO_PAD.encode(json),
        }
    }

    /// A program nobody could look at. Whether it is confined is not known either, so it counts as
    /// confined: otherwise a sandboxed one had only to be too quick or too slow for us.
    pub fn not_seen(why: impl Into<String>) -> Self {
        Self::of(Facts {
            sandbox: Some(Sandbox::Unseen),
            unknown: Some(why.into()),
            ..Facts::default()
        })
    }

    /// A program nothing is known of, and why.
    pub fn unknown_because(why: impl Into<String>) -> Self {
        Self::of(Facts {
            unknown: Some(why.into()),
            ..Facts::default()
        })
    }

    /// A program nobody has looked at. All of them are one.
    pub fn unknown() -> Arc<Self> {
        static UNKNOWN: OnceLock<Arc<Program>> = OnceLock::new();
        let unknown = || Arc::new(Self::unknown_because("nobody looked"));
        Arc::clone(UNKNOWN.get_or_init(unknown))
    }

    /// What tells this program from others, and is the same for it tomorrow: its sandbox, else its
    /// executable, else `unknown`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether rules can tell it from others by more than its own word.
    pub fn is_known(&self) -> bool {
        self.executable.is_some() || self.sandbox.is_some()
    }

    /// The program in one word without any character that would have to be escaped.
    pub(crate) fn encoded(&self) -> &str {
        &self.encoded
    }

    /// Reads what [`encoded`](Self::encoded) wrote.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice(&json).ok().map(Self::of)
    }
}

impl Deref for Program {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

fn identity(facts: &Facts) -> String {
    if let Some(sandbox) = &facts.sandbox {
        return sandbox.id();
    }
    match &facts.executable {
        None => "unknown".to_owned(),
        Some(Executable { path, file: None }) => path.clone(),
        Some(Executable {
            path,
            file: Some(FileIdentity { inode, changed }),
        }) => format!("{path}#{inode}-{changed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(path: &str, file: Option<FileIdentity>) -> Facts {
        Facts {
            executable: Some(Executable {
                path: path.to_owned(),
                file,
            }),
            ..Facts::default()
        }
    }

    #[test]
    fn what_only_root_could_replace_is_known_by_its_path() {
        let program = Program::of(executable("/usr/bin/node", None));
        assert_eq!(program.id(), "/usr/bin/node");
        assert!(program.is_known());
    }

    #[test]
    fn another_file_at_the_same_path_is_another_program() {
        let of = |inode, changed| {
            let file = FileIdentity { inode, changed };
            Program::of(executable("/home/a/bin/tool", Some(file)))
        };
        assert_eq!(of(1, 2).id(), of(1, 2).id());
        assert_ne!(of(1, 2).id(), of(1, 3).id());
        assert_ne!(of(1, 2).id(), of(2, 2).id());
    }

    #[test]
    fn a_sandbox_is_known_by_its_own_name_whatever_runs_in_it() {
        let mut facts = executable("/app/bin/tool", None);
        facts.sandbox = Some(Sandbox::Flatpak("org.example.App".to_owned()));
        assert_eq!(Program::of(facts).id(), "flatpak:org.example.App");
        assert_eq!(Program::unknown().id(), "unknown");
        assert!(!Program::unknown().is_known());
    }

    #[test]
    fn it_is_passed_on_whole_and_needs_no_escaping() {
        let mut facts = executable("/home/a/\"quoted\"\u{7}", None);
        facts.parent = Some(Parent {
            name: "sh".to_owned(),
            path: None,
        });
        let program = Program::of(facts);
        let word = program.encoded();
        assert!(
            word.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        assert_eq!(Program::decode(word).unwrap(), program);
        for bad in ["", "!", "e30x", "bnVsbA"] {
            assert_eq!(Program::decode(bad), None, "{bad}");
        }
    }
}
