//! The second half of the demonstration: somebody stole something, and it is worth nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyward::{AccountInfo, NativeBrokerPlugin};
use keyward_dev_authority::Running;
use keyward_http::Client;
use keyward_keystore::{KeyKind, KeyStore as _, SoftwareKeyStore};
use keyward_oauth::dpop::{self, ProofTarget};
use keyward_oauth::identifiers::{ClientId, CorrelationId};
use keyward_oauth::refresh_token::RefreshRequest;
use keyward_oauth::scope::Scopes;
use keyward_oauth::secret::RefreshToken;
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_request::{Dialect, TokenBinding, TokenOptions};
use keyward_oauth::token_response::{self, TokenError};
use keyward_oauth::transport::{HttpClient as _, HttpResponse};
use url::Url;
use uuid::Uuid;

use crate::DevError;
use crate::args::Tenant;
use crate::authority;
use crate::demo::{Loot, Stage, expect, say, tell};
use crate::place::Place;
use crate::process::Process;
use crate::session::{CLIENT_ID, authority_section, broker_environment};
use crate::tpm::Tpm;

/// Plays thief in every way the demonstration knows; each must be refused.
///
/// # Errors
///
/// The first theft that worked.
pub async fn play(
    stage: &Stage,
    victim: &Victim<'_>,
    account: &AccountInfo,
    loot: &Loot,
) -> Result<(), DevError> {
    let elsewhere = Elsewhere::new(victim.authority)?;
    steal_refresh_token(&elsewhere, victim.authority).await?;
    stage.still_works(account).await?;
    copy_vault(victim, account).await?;
    replay(stage, &elsewhere, loot).await
}

/// Whom the thief steals from.
pub struct Victim<'a> {
    /// Who issues tokens.
    pub authority: &'a Running,
    /// Where the broker keeps everything.
    pub place: &'a Place,
    /// What holds its keys.
    pub tpm: &'a Tpm,
}

/// A refresh token lifted from somewhere, without the key it is bound to.
async fn steal_refresh_token(elsewhere: &Elsewhere, authority: &Running) -> Result<(), DevError> {
    say("A thief has the refresh token (the authority told it for this demonstration)");
    let issued = authority.issued();
    let Some(stolen) = issued
        .iter()
        .rev()
        .find(|token| token.client_id == CLIENT_ID)
    else {
        return Err(DevError::Demonstration(
            "the authority issued no refresh token".to_owned(),
        ));
    };
    let stolen = RefreshToken::new(stolen.refresh_token.clone());
    let refusal = elsewhere.redeem(&stolen, false).await?;
    tell(&format!("redeemed without a proof: refused, {refusal}"));
    let refusal = elsewhere.redeem(&stolen, true).await?;
    tell(&format!("redeemed with another key: refused, {refusal}"));
    Ok(())
}

/// The whole vault copied to a device that has another key.
async fn copy_vault(victim: &Victim<'_>, account: &AccountInfo) -> Result<(), DevError> {
    say("A thief has a copy of the vault, but not this device's key");
    let device = Place::create()?;
    copy_folder(&victim.place.state(), &device.state())?;
    let tpm = victim.tpm.elsewhere(&device).await?;
    device.write_config(&format!(
        "{}\n{}",
        tpm.configuration(),
        authority_section(victim.authority)
    ))?;
    if !tpm.is_tpm() {
        replace_device_key(&device.state())?;
    }
    // Its complaints are what this is about; they come with the answer below.
    let quiet = ["--log".into(), "off".into()];
    let broker = Process::start(&device, "keywardd", &quiet, &broker_environment(&device)).await?;
    let plugin = NativeBrokerPlugin::at_socket(device.socket());
    let application = keyward::PublicClientApplication::new(keyward::Configuration {
        auth: keyward::AuthOptions {
            client_id: CLIENT_ID.into(),
            authority: authority::issuer(victim.authority, Tenant::Oidc),
        },
        broker: keyward::BrokerOptions {
            native_broker_plugin: Some(plugin),
        },
        ..Default::default()
    })?;
    let request = keyward::SilentFlowRequest {
        account: Some(account.clone()),
        ..Default::default()
    };
    let outcome = application.acquire_token_silent(request).await;
    broker.stop().await;
    tpm.stop().await;
    match outcome {
        Ok(_) => Err(DevError::Demonstration(
            "the copied vault gave a token".to_owned(),
        )),
        Err(error) => {
            tell(&format!("opened on another device: refused, {error}"));
            Ok(())
        }
    }
}

/// Everything that was seen on the wire, sent again.
async fn replay(stage: &Stage, elsewhere: &Elsewhere, loot: &Loot) -> Result<(), DevError> {
    say("A thief has what went over the wire");
    let (token, proof) = &loot.dpop;
    let answer = stage.api.bearer(token).await?;
    expect(
        answer.refused(),
        "a bound token was accepted as a bearer token",
    )?;
    tell("the bound access token as a bearer token: refused");
    let answer = stage.api.dpop(token, proof).await?;
    expect(answer.refused(), "a used DPoP proof was accepted again")?;
    tell("the same access token and proof again: refused");
    let target = stage.api.target("GET");
    let nonce = stage.api.dpop_nonce(token).await?;
    let forged = elsewhere.proof(&ProofTarget {
        method: "GET",
        url: &parse(&target.uri)?,
        nonce: Some(&nonce),
        access_token: Some(&token.access_token),
    })?;
    let answer = stage.api.dpop(token, &forged).await?;
    expect(answer.refused(), "a proof by another key was accepted")?;
    tell("the access token with a proof by another key: refused");
    let answer = stage.api.pop(&loot.shr, "GET").await?;
    expect(
        answer.refused(),
        "a used signed HTTP request was accepted again",
    )?;
    tell("the same signed HTTP request again: refused");
    let answer = stage.api.pop(&loot.shr, "DELETE").await?;
    expect(
        answer.refused(),
        "a signed HTTP request was accepted for another method",
    )?;
    tell("the signed HTTP request for another method: refused");
    Ok(())
}

/// Another device: it has a key of its own, and not ours.
struct Elsewhere {
    // Held so that the key's folder stays.
    _folder: tempfile::TempDir,
    key: std::sync::Arc<dyn keyward_oauth::jose::Signer>,
    client: Client,
    token_endpoint: Url,
}

impl Elsewhere {
    fn new(authority: &Running) -> Result<Self, DevError> {
        let folder = tempfile::tempdir().map_err(DevError::io("make a temporary folder"))?;
        let keys = SoftwareKeyStore::open(&folder.path().join("keys"))
            .map_err(|error| DevError::Environment(error.to_string()))?;
        let key = keys
            .create(KeyKind::Sign, None)
            .and_then(|id| keys.open(&id))
            .map_err(|error| DevError::Environment(error.to_string()))?;
        let token_endpoint = parse(&format!(
            "{}/token",
            authority::issuer(authority, Tenant::Oidc)
        ))?;
        Ok(Self {
            _folder: folder,
            key,
            client: Client::new(),
            token_endpoint,
        })
    }

    /// Redeems a stolen refresh token the way its owner would, taking up the nonce the authority
    /// asks for. Returns the words of the refusal.
    async fn redeem(&self, stolen: &RefreshToken, prove: bool) -> Result<String, DevError> {
        let mut nonce = None;
        for _ in 0..2 {
            let target = ProofTarget {
                method: "POST",
                url: &self.token_endpoint,
                nonce: nonce.as_deref(),
                access_token: None,
            };
            let proof = prove.then(|| self.proof(&target)).transpose()?;
            let response = self.send(stolen, proof.as_deref()).await?;
            nonce = dpop::nonce(&response.headers);
            match token_response::read(&response, now()) {
                Ok(_) => {
                    return Err(DevError::Demonstration(
                        "a stolen refresh token was redeemed".to_owned(),
                    ));
                }
                Err(TokenError::Refused(refusal)) if refusal.error.error == "use_dpop_nonce" => {}
                Err(error) => return Ok(error.to_string()),
            }
        }
        Err(DevError::Demonstration(
            "the authority never stops asking for a nonce".to_owned(),
        ))
    }

    async fn send(
        &self,
        stolen: &RefreshToken,
        proof: Option<&str>,
    ) -> Result<HttpResponse, DevError> {
        let client_id =
            ClientId::parse(CLIENT_ID).map_err(|error| DevError::Environment(error.to_string()))?;
        let none = BTreeMap::new();
        let options = TokenOptions {
            dialect: Dialect::OpenId,
            claims: None,
            binding: TokenBinding::AsIssued,
            correlation_id: CorrelationId::from_random(*Uuid::new_v4().as_bytes()),
            extra_parameters: &none,
        };
        let request = RefreshRequest {
            token_endpoint: &self.token_endpoint,
            client_id: &client_id,
            refresh_token: stolen,
            scopes: &Scopes::none(),
        };
        self.client
            .send(request.to_http(&options, proof))
            .await
            .map_err(|error| DevError::Environment(error.to_string()))
    }

    fn proof(&self, target: &ProofTarget<'_>) -> Result<String, DevError> {
        let jti = *Uuid::new_v4().as_bytes();
        dpop::proof(self.key.public_jwk(), target, now(), jti)
            .sign(&*self.key)
            .map_err(|error| DevError::Environment(error.to_string()))
    }
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::from_secs(since.map_or(0, |since| since.as_secs()))
}

fn parse(text: &str) -> Result<Url, DevError> {
    Url::parse(text).map_err(|error| DevError::Environment(format!("that is no URL: {error}")))
}

/// Another device has another key: here the software key that seals everything in the vault.
fn replace_device_key(state: &Path) -> Result<(), DevError> {
    let folder = tempfile::tempdir().map_err(DevError::io("make a temporary folder"))?;
    let keys = folder.path().join("keys");
    SoftwareKeyStore::open(&keys)
        .and_then(|store| store.create(KeyKind::Sign, None))
        .map_err(|error| DevError::Environment(error.to_string()))?;
    let replacing = || DevError::io("give the other device its key");
    // What is of one machine alone is in a folder of its own.
    for entry in fs::read_dir(state).map_err(replacing())? {
        let theirs = entry.map_err(replacing())?.path().join("keys/wrapping.key");
        if theirs.exists() {
            fs::copy(keys.join("wrapping.key"), theirs).map_err(replacing())?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), DevError> {
    let copying = || DevError::io("copy the vault");
    for entry in fs::read_dir(from).map_err(copying())? {
        let entry = entry.map_err(copying())?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(copying())?.is_dir() {
            fs::create_dir(&target).map_err(copying())?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o700)).map_err(copying())?;
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(copying())?;
        }
    }
    Ok(())
}
