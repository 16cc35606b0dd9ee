//! The architecture as data: one line per allowed edge, library and part of the standard library.
//!
//! A line added here is a permission given, so say why in the commit and keep ARCHITECTURE.md true.

/// Where these lines are, for messages.
pub const FILE: &str = "xtask/src/layers/table.rs";

/// Who may depend on whom: (crate, the crate of this workspace it depends on). Arrows point down.
#[rustfmt::skip]
pub const EDGES: &[(&str, &str)] = &[
    // pure: values and state machines
    ("oauth", "jose"),
    // the engine
    ("client", "oauth"),
    // adapters: one permission each
    ("http", "oauth"),
    ("user-agent", "oauth"),
    ("store", "client"),
    ("store", "locked-memory"),
    ("keystore", "jose"),
    ("keystore", "locked-memory"),
    ("broker-ipc", "client"),
    // keywardd
    ("broker", "broker-ipc"),
    ("broker", "client"),
    ("broker", "config"),
    ("broker", "http"),
    ("broker", "keystore"),
    // to say whether it could be locked
    ("broker", "locked-memory"),
    ("broker", "store"),
    // keyward-session
    ("session", "broker-ipc"),
    ("session", "config"),
    ("session", "user-agent"),
    // what applications depend on, and the command line on top of it
    ("keyward", "broker-ipc"),
    ("keyward", "client"),
    ("keyward", "config"),
    ("cli", "keyward"),
    ("cli", "config"),
    ("cli", "user-agent"),
    // development
    ("dev-authority", "jose"),
    ("dev-authority", "oauth"),
    ("dev", "broker"),
    ("dev", "broker-ipc"),
    ("dev", "cli"),
    ("dev", "client"),
    ("dev", "config"),
    ("dev", "dev-authority"),
    ("dev", "http"),
    // the demo's thief opens a copied vault with another device's keys
    ("dev", "keystore"),
    ("dev", "keyward"),
    ("dev", "oauth"),
    ("dev", "session"),
    ("dev", "user-agent"),
];

/// What tests may depend on beside the edges above: `[dev-dependencies]` of a crate, and any
/// dependency of the crates in [`TEST_CRATES`]. `*` stands for every crate.
#[rustfmt::skip]
pub const TEST_EDGES: &[(&str, &str)] = &[
    ("*", "testkit"),
    ("broker", "dev-authority"),
    ("cli", "broker-ipc"),
    ("cli", "client"),
    ("e2e", "dev-authority"),
    // the same-user thief knows our source
    ("e2e", "broker-ipc"),
    ("e2e", "client"),
    ("e2e", "store"),
    // a thief with a key of his own
    ("e2e", "keystore"),
    ("e2e", "oauth"),
    ("bench", "broker-ipc"),
    ("bench", "client"),
    ("bench", "dev"),
    ("bench", "dev-authority"),
    ("bench", "store"),
    // beside the same commands without it
    ("bench", "keystore"),
];

/// Crates that are tests through and through: no release binary contains them.
pub const TEST_CRATES: &[&str] = &["testkit", "e2e", "bench", "xtask"];

/// What each released program must not contain, however indirectly.
#[rustfmt::skip]
pub const UNREACHABLE: &[(&str, &[&str])] = &[
    ("broker",  &["dev", "dev-authority", "session", "user-agent", "testkit", "e2e", "bench", "xtask"]),
    ("session", &["dev", "dev-authority", "broker", "store", "keystore", "http", "testkit", "e2e", "bench", "xtask"]),
    ("cli",     &["dev", "dev-authority", "broker", "store", "keystore", "http", "testkit", "e2e", "bench", "xtask"]),
    ("keyward", &["dev", "dev-authority", "broker", "session", "testkit", "e2e", "bench", "xtask"]),
    ("dev",     &["testkit", "e2e", "bench", "xtask"]),
];

/// Who may use something.
#[derive(Clone, Copy)]
pub enum Who {
    /// Every crate.
    Everyone,
    /// These crates.
    Only(&'static [&'static str]),
}

impl Who {
    /// Whether this crate is among them.
    pub fn includes(self, name: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(names) => names.contains(&name),
        }
    }
}

use Who::{Everyone, Only};

/// A library from outside: its name, what it brings, who may use it, and who may in tests.
pub struct Library(pub &'static str, pub &'static str, pub Who, pub Who);

/// Every library a crate may name in its `Cargo.toml`. One that is not here is a decision to make.
#[rustfmt::skip]
pub const LIBRARIES: &[Library] = &[
    Library("async-trait",        "asynchronous ports",           Everyone, Everyone),
    Library("aws-lc-rs",          "cryptography",                 Only(&["jose", "store", "keystore", "dev-authority"]), Everyone),
    Library("axum",               "an HTTP server",               Only(&["dev-authority"]), Only(&[])),
    Library("base64",             "encoding",                     Everyone, Everyone),
    Library("clap",               "command lines",                Only(&["broker", "session", "cli", "dev"]), Only(&["xtask", "bench"])),
    Library("clap_complete",      "shell completions",            Only(&["cli"]), Only(&[])),
    Library("clap_mangen",        "manual pages",                 Only(&["cli"]), Only(&["xtask"])),
    Library("comfy-table",        "tables on a terminal",         Only(&["cli"]), Only(&["bench"])),
    Library("futures-util",       "waiting for several futures",  Everyone, Everyone),
    Library("http",               "HTTP vocabulary",              Everyone, Everyone),
    Library("httparse",           "reading the redirect",         Only(&["user-agent"]), Only(&[])),
    Library("jsonwebtoken",       "a second opinion on JWTs",     Only(&[]), Everyone),
    Library("landlock",           "giving up files",              Only(&["broker"]), Only(&[])),
    Library("libc",               "numbers of system calls",      Only(&["broker"]), Only(&[])),
    Library("listenfd",           "a socket passed at the start", Only(&["broker"]), Only(&[])),
    Library("nix",                "which process is at a socket's other end", Only(&["broker-ipc"]), Only(&["e2e"])),
    Library("p256",               "recognising a private key",    Only(&[]), Only(&["testkit"])),
    Library("proptest",           "random inputs",                Only(&[]), Everyone),
    Library("region",             "locking memory",               Only(&["locked-memory"]), Only(&[])),
    Library("rcgen",              "the other end of TLS",         Only(&["dev-authority"]), Only(&[])),
    Library("reqwest",            "outbound connections",         Only(&["http"]), Everyone),
    Library("rusqlite",           "the vault's database",         Only(&["store"]), Only(&["bench"])),
    Library("rustix",             "system calls",                 Only(&["broker", "broker-ipc", "config", "keystore", "session", "store", "user-agent", "dev"]), Everyone),
    Library("rustls",             "the other end of TLS",         Only(&["dev-authority"]), Only(&["http"])),
    Library("seccompiler",        "giving up system calls",       Only(&["broker"]), Only(&[])),
    Library("serde",              "encoding",                     Everyone, Everyone),
    Library("serde_json",         "encoding",                     Everyone, Everyone),
    Library("tempfile",           "private folders",              Only(&["dev"]), Everyone),
    Library("thiserror",          "error types",                  Everyone, Everyone),
    Library("tokio",              "waiting",                      Everyone, Everyone),
    Library("tokio-rustls",       "the other end of TLS",         Only(&["dev-authority"]), Only(&[])),
    Library("toml",               "configuration files",          Only(&["config"]), Only(&[])),
    Library("tracing",            "logs",                         Everyone, Everyone),
    Library("tracing-subscriber", "writing logs",                 Only(&["broker", "session", "cli", "dev"]), Everyone),
    Library("tss-esapi",          "the TPM",                      Only(&["keystore"]), Only(&["bench"])),
    Library("url",                "URLs",                         Everyone, Everyone),
    Library("uuid",               "GUIDs",                        Everyone, Everyone),
    Library("zbus",               "D-Bus",                        Only(&["broker-ipc"]), Only(&["testkit", "e2e", "bench"])),
    Library("zeroize",            "forgetting secrets",           Everyone, Everyone),
];

/// A feature of a library that brings a permission of its own.
pub struct Feature(
    /// The library.
    pub &'static str,
    /// Its feature.
    pub &'static str,
    /// What it brings.
    pub &'static str,
    /// Who may use it; tests always may.
    pub Who,
);

/// Features that bring a permission.
#[rustfmt::skip]
pub const FEATURES: &[Feature] = &[
    Feature("tokio", "process", "starting processes",   Only(&["session", "user-agent", "dev"])),
    Feature("tokio", "fs",      "reading files",        Only(&[])),
    Feature("tokio", "signal",  "signals",              Only(&["broker", "session", "cli", "dev"])),
    Feature("tokio", "full",    "everything at once",   Only(&[])),
    Feature("reqwest", "cookies", "remembering cookies", Only(&[])),
];

/// The crates that take clock, randomness, environment, files and network as arguments.
const PURE: &[&str] = &["jose", "oauth", "client"];

/// Where a text may stand in the source.
#[derive(Clone, Copy)]
pub enum Where {
    /// Only in these crates (and in tests).
    In(&'static [&'static str]),
    /// Anywhere but in these.
    NotIn(&'static [&'static str]),
}

impl Where {
    /// Whether it may stand in this crate.
    pub fn allows(self, name: &str) -> bool {
        match self {
            Self::In(names) => names.contains(&name),
            Self::NotIn(names) => !names.contains(&name),
        }
    }
}

use Where::{In, NotIn};

/// A text in the source that means a permission: all of these words in one line, where they may
/// stand, and why not elsewhere.
pub struct Ban(pub &'static [&'static str], pub Where, pub &'static str);

/// What `cargo metadata` cannot see. Tests are not searched.
#[rustfmt::skip]
pub const BANS: &[Ban] = &[
    Ban(&["process::", "Command"], In(&["session", "user-agent", "dev"]), "keywardd and libraries start no process"),
    Ban(&["TcpListener"],          In(&["user-agent", "dev-authority", "dev"]), "only the loopback redirect and the development authority listen on TCP"),
    Ban(&["TcpStream"],            In(&["user-agent", "dev-authority", "dev"]), "outbound connections are `http`'s"),
    Ban(&["UdpSocket"],            In(&[]), "nothing here speaks UDP"),
    Ban(&["UnixListener"],         In(&["broker", "broker-ipc", "dev"]), "only keywardd listens on a Unix socket"),
    Ban(&["UnixStream"],           In(&["broker", "broker-ipc", "session", "dev"]), "connections to keywardd are `broker-ipc`'s"),
    Ban(&["SystemTime"],           NotIn(PURE), "the time is an argument, or the port `Clock`"),
    Ban(&["Instant::now"],         NotIn(PURE), "the time is an argument, or the port `Clock`"),
    Ban(&["std::env"],             NotIn(&["jose", "oauth", "client", "store", "keystore"]), "the environment is read by programs and `config`"),
    Ban(&["env::var"],             NotIn(&["jose", "oauth", "client", "store", "keystore"]), "the environment is read by programs and `config`"),
    Ban(&["std::fs"],              NotIn(&["jose", "oauth", "client", "http", "keyward"]), "files are behind ports"),
    Ban(&["File::open"],           NotIn(&["jose", "oauth", "client", "http", "keyward"]), "files are behind ports"),
    Ban(&["SystemRandom"],         NotIn(&["oauth", "client"]), "randomness is an argument, or the port `Random`"),
    Ban(&["Uuid::new_v4"],         NotIn(PURE), "randomness is an argument, or the port `Random`"),
    Ban(&[".await"],               NotIn(&["jose", "oauth"]), "the protocol waits for nothing"),
    Ban(&["RefreshToken"],         NotIn(&["broker-ipc", "session", "user-agent", "keyward", "cli"]), "only keywardd and the engine know refresh tokens"),
    Ban(&["/dev/tpm"],             In(&["keystore", "config", "dev"]), "only `keystore` opens the TPM; two others name it in messages"),
    Ban(&["danger_accept_invalid"], In(&[]), "TLS is always verified"),
];

/// The longest file anybody should have to read.
pub const LONGEST_FILE: usize = 1000;

/// Crates whose folder must hold a `clippy.toml` that bans clock, environment, files and sockets.
pub const NEED_CLIPPY_TOML: &[&str] = PURE;
