//! The same-user thief: a program that runs as the user, knows our source, and tries to take
//! whatever the broker holds.
//!
//! It says what it tried and hands over everything it could read, raw. What that is worth is not for
//! the thief to say: [`verdict`](crate::verdict) looks for the secrets the authority and the
//! machine's owner know.

mod bus;
mod environment;
mod files;
mod memory;
mod ruse;
mod socket;
mod vault;

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// What the thief knows: where everything is (our source says so), and which client the policy
/// lets have tokens. As JSON on its command line.
#[derive(Clone, Debug)]
pub struct Target {
    /// The broker's socket.
    pub socket: PathBuf,
    /// Its state folder.
    pub state: PathBuf,
    /// The configuration file it reads.
    pub configuration: PathBuf,
    /// Every file and folder something of the broker is in.
    pub places: Vec<PathBuf>,
    /// The folder of the installed programs.
    pub programs: PathBuf,
    /// The issuer of the accounts.
    pub authority: String,
    /// Where the authority redeems codes and refresh tokens.
    pub token_endpoint: String,
    /// A client the policy speaks for.
    pub allowed: String,
    /// A client the policy speaks against.
    pub denied: String,
    /// A client the policy asks a person about.
    pub asked: String,
    /// A folder of the thief's own.
    pub den: PathBuf,
    /// The TCTI of the TPM, where there is one.
    pub tcti: Option<String>,
}

/// One thing that was tried.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which way in.
    pub way: &'static str,
    /// What was tried.
    pub tried: String,
    /// Everything that could be read.
    pub loot: Vec<Vec<u8>>,
    /// What cannot be told from the loot: keys that were used, data keys that opened records.
    pub claims: Vec<Claim>,
    /// How it was stopped, or what came back.
    pub outcome: String,
}

/// Something the thief did that needs a secret, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It opened the vault's records itself.
    OpenedVault,
    /// It made a signature over [`CHALLENGE`] with a key it holds outside the broker.
    Signed {
        /// The public half, as a JWK.
        jwk: String,
        /// The signature, `r || s`.
        signature: Vec<u8>,
        /// Whether the key itself was read, or only used where it is.
        taken: bool,
    },
}

/// What is signed to show that a key is in the thief's hands.
pub const CHALLENGE: &[u8] = b"the same-user thief was here";

impl Target {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "socket": self.socket, "state": self.state,
            "configuration": self.configuration, "places": self.places,
            "programs": self.programs, "authority": self.authority,
            "token_endpoint": self.token_endpoint, "allowed": self.allowed,
            "denied": self.denied, "asked": self.asked, "den": self.den, "tcti": self.tcti,
        })
    }

    /// From JSON.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let path = |name: &str| text(name).map(PathBuf::from);
        let places = value["places"].as_array()?.iter();
        Some(Self {
            socket: path("socket")?,
            state: path("state")?,
            configuration: path("configuration")?,
            places: places
                .filter_map(|place| place.as_str().map(PathBuf::from))
                .collect(),
            programs: path("programs")?,
            authority: text("authority")?,
            token_endpoint: text("token_endpoint")?,
            allowed: text("allowed")?,
            denied: text("denied")?,
            asked: text("asked")?,
            den: path("den")?,
            tcti: text("tcti"),
        })
    }
}

impl Attempt {
    /// Tries something; what it collects counts whether or not it ends well.
    pub(crate) fn of(
        way: &'static str,
        tried: impl Into<String>,
        attempt: impl FnOnce(&mut Bag) -> io::Result<String>,
    ) -> Self {
        let mut bag = Bag::default();
        let outcome = match attempt(&mut bag) {
            Ok(said) => said,
            Err(error) => error.to_string(),
        };
        Self {
            way,
            tried: tried.into(),
            loot: bag.loot,
            claims: bag.claims,
            outcome,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let loot: Vec<String> = self
            .loot
            .iter()
            .map(|one| BASE64_STANDARD.encode(one))
            .collect();
        let claims: Vec<Value> = self.claims.iter().map(Claim::to_json).collect();
        json!({
            "way": self.way, "tried": self.tried, "loot": loot, "claims": claims,
            "outcome": self.outcome,
        })
    }

    /// From JSON.
    pub fn from_json(value: &Value) -> Option<Self> {
        let decoded = |one: &Value| BASE64_STANDARD.decode(one.as_str()?).ok();
        let way = value["way"].as_str()?;
        Some(Self {
            way: WAYS.iter().find(|known| **known == way)?,
            tried: value["tried"].as_str()?.to_owned(),
            loot: value["loot"]
                .as_array()?
                .iter()
                .filter_map(decoded)
                .collect(),
            claims: value["claims"]
                .as_array()?
                .iter()
                .filter_map(Claim::from_json)
                .collect(),
            outcome: value["outcome"].as_str()?.to_owned(),
        })
    }
}

impl Claim {
    fn to_json(&self) -> Value {
        match self {
            Self::OpenedVault => json!({"claim": "opened-vault"}),
            Self::Signed {
                jwk,
                signature,
                taken,
            } => json!({
                "claim": "signed", "jwk": jwk, "taken": taken,
                "signature": BASE64_STANDARD.encode(signature),
            }),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        Some(match value["claim"].as_str()? {
            "opened-vault" => Self::OpenedVault,
            "signed" => Self::Signed {
                jwk: value["jwk"].as_str()?.to_owned(),
                signature: BASE64_STANDARD.decode(value["signature"].as_str()?).ok()?,
                taken: value["taken"].as_bool()?,
            },
            _ => return None,
        })
    }
}

/// What an attempt collects.
#[derive(Debug, Default)]
pub(crate) struct Bag {
    loot: Vec<Vec<u8>>,
    claims: Vec<Claim>,
}

impl Bag {
    pub(crate) fn keep(&mut self, bytes: impl Into<Vec<u8>>) {
        self.loot.push(bytes.into());
    }

    pub(crate) fn claim(&mut self, claim: Claim) {
        self.claims.push(claim);
    }
}

/// Every way in, in the order in which they are tried.
pub const WAYS: [&str; 8] = [
    "files",
    "memory",
    "tpm",
    "socket",
    "prompts",
    "bus",
    "environment",
    "programs",
];

/// Tries everything. What ends the broker comes last.
pub fn steal(target: &Target) -> Vec<Attempt> {
    let mut attempts = files::all(target);
    attempts.extend(memory::all(target));
    attempts.extend(vault::with_the_tpm(target));
    attempts.extend(socket::all(target));
    attempts.extend(ruse::all(target));
    attempts.extend(bus::all(target));
    attempts.extend(environment::all(target));
    attempts.extend(memory::crash(target));
    attempts
}
