//! `keyward-dev demo`: the whole story on loopback, in a few seconds.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use keyward::{
    AccountInfo, AuthOptions, AuthenticationResult, AuthenticationScheme, BrokerOptions,
    Configuration, InteractiveRequest, NativeBrokerPlugin, PublicClientApplication,
    ResourceRequest, SilentFlowRequest, TokenSource, UserAgent,
};
use keyward_dev_authority::Running;
use keyward_user_agent::SystemBrowser;

use crate::DevError;
use crate::api::Api;
use crate::args::{DemoArguments, Tenant};
use crate::authority;
use crate::place::Place;
use crate::process::Process;
use crate::session::{CLIENT_ID, DEFAULT_USER, authority_section, broker_environment};
use crate::sign_in::ScriptedUserAgent;
use crate::signals::Signals;
use crate::thief;
use crate::tpm::Tpm;

const SCOPES: [&str; 1] = ["demo.read"];

/// Tells the story. Exits with 0 only if every step went as told.
///
/// # Errors
///
/// The first step that did not.
pub async fn run(arguments: &DemoArguments) -> Result<ExitCode, DevError> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        told = tell_story(arguments) => told,
        // Dropping the story ends its processes and removes its folder.
        ending = signals.next() => Ok(ending.exit_code()),
    }
}

async fn tell_story(arguments: &DemoArguments) -> Result<ExitCode, DevError> {
    let place = Place::create()?;
    let authority = authority::start().await?;
    let tpm = Tpm::choose(&arguments.tpm, &place).await?;
    let sections = authority_section(&authority);
    place.write_config(&format!("{}\n{sections}", tpm.configuration()))?;
    say("An authority and a broker of your own, on this machine only");
    let keywardd = Process::start(&place, "keywardd", &[], &broker_environment(&place)).await?;
    tell(&format!(
        "authority  {}",
        authority::issuer(&authority, Tenant::Oidc)
    ));
    tell(&format!(
        "broker     keywardd, vault and keys in {}",
        place.state().display()
    ));
    tell(&format!("keys       {}", tpm.described()));

    let stage = Stage::new(&place, &authority, arguments.browser)?;
    let victim = thief::Victim {
        authority: &authority,
        place: &place,
        tpm: &tpm,
    };
    let account = stage.sign_in().await?;
    stage.silent(&account).await?;
    let loot = stage.call_api(&account).await?;
    stage.show_binding().await?;
    thief::play(&stage, &victim, &account, &loot).await?;
    stage.still_works(&account).await?;

    keywardd.stop().await;
    tpm.stop().await;
    end_story().map_err(DevError::io("tell that everything held"))?;
    Ok(ExitCode::SUCCESS)
}

/// A heading of the story.
pub fn say(text: &str) {
    // Whether anybody listens shows at the end.
    let _ = writeln!(io::stdout(), "\n{text}");
}

/// A line of the story.
pub fn tell(text: &str) {
    let _ = writeln!(io::stdout(), "  {text}");
}

/// The last line, which must not be lost: it is what the story is for.
fn end_story() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nEverything held")?;
    out.flush()
}

/// What a watchful person at the resource could have recorded.
#[derive(Debug)]
pub struct Loot {
    /// A DPoP-bound access token and a proof that was used.
    pub dpop: (AuthenticationResult, String),
    /// A signed HTTP request that was used.
    pub shr: AuthenticationResult,
}

/// The application of the story, with its broker and its resource.
pub struct Stage {
    application: PublicClientApplication,
    plugin: NativeBrokerPlugin,
    /// The resource.
    pub api: Api,
}

impl Stage {
    fn new(place: &Place, authority: &Running, browser: bool) -> Result<Self, DevError> {
        let agent: Arc<dyn UserAgent> = if browser {
            Arc::new(SystemBrowser::from_environment())
        } else {
            Arc::new(ScriptedUserAgent::new(DEFAULT_USER))
        };
        let plugin = NativeBrokerPlugin::at_socket(place.socket()).user_agent(agent);
        let application = PublicClientApplication::new(Configuration {
            auth: AuthOptions {
                client_id: CLIENT_ID.into(),
                authority: authority::issuer(authority, Tenant::Oidc),
            },
            broker: BrokerOptions {
                native_broker_plugin: Some(plugin.clone()),
            },
            ..Default::default()
        })?;
        Ok(Self {
            application,
            plugin,
            api: Api::new(authority)?,
        })
    }

    async fn sign_in(&self) -> Result<AccountInfo, DevError> {
        say("Sign in once");
        let result = self
            .application
            .acquire_token_interactive(InteractiveRequest {
                scopes: SCOPES.into(),
                login_hint: Some(DEFAULT_USER.to_owned()),
                ..Default::default()
            })
            .await?;
        tell(&format!("signed in  {}", result.account.username));
        tell(&format!("account    {}", result.account.home_account_id));
        Ok(result.account)
    }

    async fn silent(&self, account: &AccountInfo) -> Result<(), DevError> {
        say("From now on silently");
        let cached = self.token(account, |_| {}).await?;
        expect(
            cached.token_source == TokenSource::Cache,
            "the cached token was not used",
        )?;
        tell("a token from the broker's cache");
        let renewed = self
            .token(account, |request| request.force_refresh = true)
            .await?;
        expect(
            renewed.token_source == TokenSource::IdentityProvider,
            "nothing was renewed",
        )?;
        tell("a new token from the authority, by a proof of this device's key");
        let answer = self.api.bearer(&renewed).await?;
        expect(answer.accepted(), "the API refused the bearer token")?;
        tell(&format!("the API knows {} (Bearer)", answer.username()));
        Ok(())
    }

    /// Uses a DPoP-bound token and a signed HTTP request, and keeps what was seen on the wire.
    async fn call_api(&self, account: &AccountInfo) -> Result<Loot, DevError> {
        say("Tokens that only work with a proof by this device's key");
        let target = self.api.target("GET");
        let bound = self
            .token(account, |request| {
                request.authentication_scheme = AuthenticationScheme::Dpop;
                request.resource_request_method = Some(target.method.clone());
                request.resource_request_uri = Some(target.uri.clone());
            })
            .await?;
        let nonce = self.api.dpop_nonce(&bound).await?;
        let proof = self
            .proof(
                &bound,
                ResourceRequest {
                    nonce: Some(nonce),
                    ..target
                },
            )
            .await?;
        let answer = self.api.dpop(&bound, &proof).await?;
        expect(answer.accepted(), "the API refused the DPoP proof")?;
        tell(&format!(
            "the API knows {} (DPoP, RFC 9449)",
            answer.username()
        ));

        let shr = self.signed_http_request(account).await?;
        let answer = self.api.pop(&shr, "GET").await?;
        expect(answer.accepted(), "the API refused the signed HTTP request")?;
        tell(&format!(
            "the API knows {} (PoP, a signed HTTP request)",
            answer.username()
        ));
        Ok(Loot {
            dpop: (bound, proof),
            shr,
        })
    }

    async fn show_binding(&self) -> Result<(), DevError> {
        say("What is bound to what");
        let status = self.plugin.broker_status().await?;
        for account in &status.accounts {
            tell(&format!(
                "{}  refresh token {}, key in {}",
                account.account.username, account.binding, account.key_protection
            ));
            expect(
                account.binding.is_sender_constrained(),
                "the refresh token is not bound",
            )?;
        }
        expect(!status.accounts.is_empty(), "the broker knows no account")
    }

    /// The victim is unharmed: a forced renewal works.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn still_works(&self, account: &AccountInfo) -> Result<(), DevError> {
        let renewed = self
            .token(account, |request| request.force_refresh = true)
            .await?;
        expect(
            renewed.token_source == TokenSource::IdentityProvider,
            "nothing was renewed",
        )?;
        tell(&format!("and {} is still signed in", account.username));
        Ok(())
    }

    /// A signed HTTP request for one GET of the API.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn signed_http_request(
        &self,
        account: &AccountInfo,
    ) -> Result<AuthenticationResult, DevError> {
        let target = self.api.target("GET");
        self.token(account, |request| {
            request.authentication_scheme = AuthenticationScheme::Pop;
            request.resource_request_method = Some(target.method);
            request.resource_request_uri = Some(target.uri);
        })
        .await
    }

    async fn proof(
        &self,
        token: &AuthenticationResult,
        target: ResourceRequest,
    ) -> Result<String, DevError> {
        Ok(self
            .application
            .dpop_proof(&token.access_token, &target)
            .await?)
    }

    async fn token(
        &self,
        account: &AccountInfo,
        adjust: impl FnOnce(&mut SilentFlowRequest),
    ) -> Result<AuthenticationResult, DevError> {
        let mut request = SilentFlowRequest {
            scopes: SCOPES.into(),
            account: Some(account.clone()),
            ..Default::default()
        };
        adjust(&mut request);
        Ok(self.application.acquire_token_silent(request).await?)
    }
}

/// Fails the demonstration unless the claim holds.
///
/// # Errors
///
/// With `otherwise` as its text.
pub fn expect(holds: bool, otherwise: &str) -> Result<(), DevError> {
    if holds {
        Ok(())
    } else {
        Err(DevError::Demonstration(otherwise.to_owned()))
    }
}
