//! The application's one object.

use std::sync::Arc;

use keyward_client::account::AccountInfo;
use keyward_client::binding::Binding;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_client::oauth::secret::AccessToken;
use keyward_client::ports::{self, TokenBroker};
use keyward_client::request::{DpopProofRequest, ResourceRequest};
use keyward_client::result::AuthenticationResult;
use tracing::Instrument;

use crate::conversion::{Application, invalid, new_correlation_id};
use crate::resource::resource_request;
use crate::right_user::Expected;
use crate::{Configuration, InteractiveRequest, NativeBrokerPlugin};
use crate::{SignOutRequest, SilentFlowRequest, SystemOptions};

/// An application that runs on a person's device and keeps no secret of its own.
///
/// Cheap to clone; clones share the connection to the broker. Every future may be dropped, which
/// cancels the request at the broker, and may be sent between threads. All of them need a Tokio
/// runtime.
///
/// ```no_run
/// use keyward::{AuthOptions, BrokerOptions, Configuration, ErrorKind};
/// use keyward::{InteractiveRequest, NativeBrokerPlugin, PublicClientApplication};
/// use keyward::{AcquireTokenError, AuthenticationResult, SilentFlowRequest};
///
/// async fn token() -> Result<AuthenticationResult, AcquireTokenError> {
///     let pca = PublicClientApplication::new(Configuration {
///         auth: AuthOptions {
///             client_id: "your-client-id".into(),
///             ..Default::default()
///         },
///         broker: BrokerOptions {
///             native_broker_plugin: Some(NativeBrokerPlugin::new()),
///         },
///         ..Default::default()
///     })?;
///
///     let silent = SilentFlowRequest {
///         scopes: ["User.Read"].into(),
///         ..Default::default()
///     };
///     match pca.acquire_token_silent(silent).await {
///         Err(error) if error.interaction_required() => {
///             pca.acquire_token_interactive(InteractiveRequest {
///                 scopes: ["User.Read"].into(),
///                 claims: error.claims().map(str::to_owned),
///                 ..Default::default()
///             })
///             .await
///         }
///         answer => answer,
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct PublicClientApplication {
    application: Arc<Application>,
    plugin: Option<NativeBrokerPlugin>,
    system: SystemOptions,
}

impl PublicClientApplication {
    /// An application with this configuration. Does no I/O: the broker is looked for at the
    /// first request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::IncorrectConfiguration`] when the client id or the authority cannot be one.
    ///
    /// ```
    /// use keyward::{Configuration, ErrorKind, PublicClientApplication};
    ///
    /// let error = PublicClientApplication::new(Configuration::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    /// ```
    pub fn new(configuration: Configuration) -> Result<Self, AcquireTokenError> {
        Ok(Self {
            application: Arc::new(
                Application::parse(&configuration.auth)?.demanding(configuration.demands),
            ),
            plugin: configuration.broker.native_broker_plugin,
            system: configuration.system,
        })
    }

    /// A token without any interaction: from the broker's cache, or by its refresh token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InteractionRequired`] when only a person can help: call
    /// [`acquire_token_interactive`](Self::acquire_token_interactive), passing
    /// [`claims`](AcquireTokenError::claims) on. [`ErrorKind::AccountSwitch`] when the broker
    /// answered for another account than the one asked for. A broker that fails is an error,
    /// never a reason to sign in some other way.
    ///
    /// ```no_run
    /// # async fn example(pca: keyward::PublicClientApplication) -> Result<(), keyward::AcquireTokenError> {
    /// let account = pca.accounts().await?.into_iter().next();
    /// let result = pca
    ///     .acquire_token_silent(keyward::SilentFlowRequest {
    ///         scopes: ["User.Read"].into(),
    ///         account,
    ///         ..Default::default()
    ///     })
    ///     .await?;
    /// println!("{}: {:?}", result.account.username, result.binding);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_token_silent(
        &self,
        request: SilentFlowRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let request = self.application.silent(request)?;
        let expected = Expected::of(Some(&request.account), request.token.demands);
        let span = tracing::info_span!(
            "acquire_token_silent",
            correlation_id = %request.token.correlation_id
        );
        let answer = async { self.broker().await?.acquire_token_silent(request).await };
        let answer = answer.instrument(span.clone()).await;
        span.in_scope(|| outcome(answer.and_then(|result| expected.check(result))))
    }

    /// A token, with a sign-in if one is needed. Dropping the future cancels the sign-in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserCanceled`] when the person closed it,
    /// [`ErrorKind::DeadlineExceeded`] when nobody finished it in time,
    /// [`ErrorKind::AccountSwitch`] when `account` was given and somebody else signed in.
    ///
    /// ```no_run
    /// use keyward::{InteractiveRequest, WindowHandle};
    ///
    /// # async fn example(pca: keyward::PublicClientApplication, window: Vec<u8>) -> Result<(), keyward::AcquireTokenError> {
    /// let result = pca
    ///     .acquire_token_interactive(InteractiveRequest {
    ///         scopes: ["User.Read"].into(),
    ///         window_handle: WindowHandle::Handle(window),
    ///         ..Default::default()
    ///     })
    ///     .await?;
    /// println!("signed in as {}", result.account.username);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_token_interactive(
        &self,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let request = self
            .application
            .interactive(request, self.system.deadline)?;
        let expected = Expected::of(request.account.as_ref(), request.token.demands);
        let span = tracing::info_span!(
            "acquire_token_interactive",
            correlation_id = %request.token.correlation_id
        );
        let answer = async {
            self.broker()
                .await?
                .acquire_token_interactive(request)
                .await
        };
        let answer = answer.instrument(span.clone()).await;
        span.in_scope(|| outcome(answer.and_then(|result| expected.check(result))))
    }

    /// The accounts the broker knows.
    ///
    /// ```no_run
    /// # async fn example(pca: keyward::PublicClientApplication) -> Result<(), keyward::AcquireTokenError> {
    /// for account in pca.accounts().await? {
    ///     println!("{} {}", account.home_account_id, account.username);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn accounts(&self) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        let broker = self.broker().await?;
        broker.accounts(&self.application.client_id).await
    }

    /// [`accounts`](Self::accounts) under MSAL's name.
    ///
    /// ```no_run
    /// # async fn example(pca: keyward::PublicClientApplication) -> Result<(), keyward::AcquireTokenError> {
    /// let everybody = pca.get_all_accounts().await?;
    /// # let _ = everybody;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_all_accounts(&self) -> Result<Vec<AccountInfo>, AcquireTokenError> {
        self.accounts().await
    }

    /// The account with this home account id, if the broker knows it.
    ///
    /// ```no_run
    /// # async fn example(pca: keyward::PublicClientApplication, remembered: String) -> Result<(), keyward::AcquireTokenError> {
    /// let account = pca.account(&remembered).await?;
    /// # let _ = account;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when the text is not `UID.UTID`.
    pub async fn account(
        &self,
        home_account_id: &str,
    ) -> Result<Option<AccountInfo>, AcquireTokenError> {
        let wanted =
            HomeAccountId::parse(home_account_id).map_err(|error| invalid(error.to_string()))?;
        let accounts = self.accounts().await?;
        Ok(accounts
            .into_iter()
            .find(|account| account.home_account_id == wanted))
    }

    /// Removes an account from the broker, with every token kept for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when no account is named.
    ///
    /// ```no_run
    /// # async fn example(pca: keyward::PublicClientApplication) -> Result<(), keyward::AcquireTokenError> {
    /// for account in pca.accounts().await? {
    ///     pca.sign_out(keyward::SignOutRequest {
    ///         account: Some(account),
    ///         ..Default::default()
    ///     })
    ///     .await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sign_out(&self, request: SignOutRequest) -> Result<(), AcquireTokenError> {
        let account = request
            .account
            .ok_or_else(|| invalid("a sign-out names its account: set account"))?;
        let request = ports::SignOutRequest {
            client_id: self.application.client_id.clone(),
            account: account.home_account_id,
            correlation_id: request.correlation_id.unwrap_or_else(new_correlation_id),
        };
        self.broker().await?.sign_out(request).await
    }

    /// One more DPoP proof (RFC 9449 §4.2) for an access token of
    /// [`AuthenticationScheme::Dpop`](crate::AuthenticationScheme::Dpop), by the key it is bound
    /// to. A proof is good for one request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when method or URI are none, or the broker did not issue the
    /// token to this client.
    ///
    /// ```no_run
    /// use keyward::ResourceRequest;
    ///
    /// # async fn example(pca: keyward::PublicClientApplication, result: keyward::AuthenticationResult) -> Result<(), keyward::AcquireTokenError> {
    /// let next = ResourceRequest {
    ///     method: "POST".into(),
    ///     uri: "https://orders.example.com/v1/orders".into(),
    ///     nonce: None,
    /// };
    /// let proof = pca.dpop_proof(&result.access_token, &next).await?;
    /// println!("DPoP: {proof}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn dpop_proof(
        &self,
        access_token: &AccessToken,
        resource: &ResourceRequest,
    ) -> Result<String, AcquireTokenError> {
        let request = DpopProofRequest {
            client_id: self.application.client_id.clone(),
            access_token: access_token.clone(),
            resource: resource_request(&resource.method, &resource.uri, resource.nonce.as_deref())?,
        };
        self.broker().await?.dpop_proof(request).await
    }

    async fn broker(&self) -> Result<&dyn TokenBroker, AcquireTokenError> {
        match &self.plugin {
            Some(plugin) => plugin.broker().await,
            None => Err(AcquireTokenError::new(
                ErrorKind::NotSupported,
                "acquiring tokens without a broker is not supported yet: set \
                 broker.native_broker_plugin to Some(NativeBrokerPlugin::new())",
            )),
        }
    }
}

/// One line of log per outcome.
fn outcome(
    answer: Result<AuthenticationResult, AcquireTokenError>,
) -> Result<AuthenticationResult, AcquireTokenError> {
    match &answer {
        Ok(result) => tracing::info!(
            token_type = result.token_type.as_str(),
            binding = result.binding.map(Binding::as_str),
            token_source = ?result.token_source,
            "token acquired"
        ),
        Err(error) => tracing::info!(error = error.kind().row().name, "no token acquired"),
    }
    answer
}
