//! What an application asks for, with MSAL's names in snake case.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward_client::account::AccountInfo;
use keyward_client::binding::{KeyProtection, RequiredBinding};
use keyward_client::oauth::identifiers::CorrelationId;
use keyward_client::oauth::scope::Scopes;
use keyward_client::request::Prompt;

use crate::WindowHandle;

/// How the access token will be presented to the resource.
///
/// ```
/// use keyward::{AuthenticationScheme, SilentFlowRequest};
///
/// let request = SilentFlowRequest {
///     scopes: ["api://orders/read"].into(),
///     authentication_scheme: AuthenticationScheme::Pop,
///     resource_request_method: Some("GET".into()),
///     resource_request_uri: Some("https://orders.example.com/v1/orders".into()),
///     ..Default::default()
/// };
/// # let _ = request;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AuthenticationScheme {
    /// `Authorization: Bearer` (RFC 6750): whoever has the token can use it.
    #[default]
    Bearer,
    /// `Authorization: PoP`: the answer's access token is a finished signed HTTP request, for the
    /// method and URI the request names.
    Pop,
    /// `Authorization: DPoP` with a `DPoP` header (RFC 9449). If the request names a method and a
    /// URI, the answer holds the first proof; further ones come from
    /// [`dpop_proof`](crate::PublicClientApplication::dpop_proof).
    Dpop,
}

/// One request: the fields every token request has, the optional ones of its own, the plain ones
/// of its own; and its builder.
macro_rules! token_request {
    (
        $(#[$doc:meta])*
        $request:ident, $builder:ident {
            optional { $( $(#[$optional_doc:meta])* $optional:ident: $optional_type:ty, )* }
            plain { $( $(#[$plain_doc:meta])* $plain:ident: $plain_type:ty, )* }
        }
    ) => {
        token_request! {
            @expand $(#[$doc])* $request, $builder
            {
                /// The account to get the token for: the answer is for it, or an error.
                account: AccountInfo,
                /// The authority to ask. `None`: that of the configuration.
                authority: String,
                /// The user name to sign in with, if it is known.
                login_hint: String,
                /// The `claims` request parameter (OpenID Connect Core §5.5) as JSON text, for
                /// example the one an API sent back in a claims challenge. Cached access tokens
                /// then do not answer.
                claims: String,
                /// Method of the request the token is for ([`AuthenticationScheme::Pop`] and
                /// [`AuthenticationScheme::Dpop`]).
                resource_request_method: String,
                /// Absolute `http` or `https` URI of the request the token is for.
                resource_request_uri: String,
                /// What has to tie the refresh token behind the answer to this device. A sign-in that
                /// could not bring that is refused before anybody sees it.
                require_binding: RequiredBinding,
                /// Where the key of that binding has to live.
                require_key_protection: KeyProtection,
                /// The nonce the resource gave: `nonce` of the signed HTTP request or the proof.
                shr_nonce: String,
                /// Opaque text to sign along ([`AuthenticationScheme::Pop`] only).
                shr_claims: String,
                /// The redirect URI the application registered. One on loopback is used as it is;
                /// any other is replaced by `http://localhost`, because the sign-in is shown in the
                /// system browser, and has to be registered as well. `None`: `http://localhost`.
                redirect_uri: String,
                /// Ties logs of application, broker and authority together. `None`: a new one.
                correlation_id: CorrelationId,
                $( $(#[$optional_doc])* $optional: $optional_type, )*
            }
            {
                /// The scopes asked for. None: only who the person is.
                scopes: Scopes,
                /// How the token will be presented.
                authentication_scheme: AuthenticationScheme,
                /// Parameters for the authority, passed on as they are.
                extra_query_parameters: BTreeMap<String, String>,
                $( $(#[$plain_doc])* $plain: $plain_type, )*
            }
        }
    };
    (
        @expand $(#[$doc:meta])* $request:ident, $builder:ident
        { $( $(#[$optional_doc:meta])* $optional:ident: $optional_type:ty, )* }
        { $( $(#[$plain_doc:meta])* $plain:ident: $plain_type:ty, )* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $request {
            $( $(#[$plain_doc])* pub $plain: $plain_type, )*
            $( $(#[$optional_doc])* pub $optional: Option<$optional_type>, )*
        }

        impl $request {
            /// A builder for a request for these scopes.
            pub fn builder(scopes: impl Into<Scopes>) -> $builder {
                $builder($request { scopes: scopes.into(), ..Default::default() })
            }
        }

        #[doc = concat!("Builds a [`", stringify!($request), "`].")]
        #[derive(Clone, Debug)]
        pub struct $builder($request);

        impl $builder {
            $(
                #[doc = concat!("Sets [`", stringify!($request), "::", stringify!($plain), "`].")]
                #[must_use]
                pub fn $plain(mut self, value: impl Into<$plain_type>) -> Self {
                    self.0.$plain = value.into();
                    self
                }
            )*
            $(
                #[doc = concat!("Sets [`", stringify!($request), "::", stringify!($optional), "`].")]
                #[must_use]
                pub fn $optional(mut self, value: impl Into<$optional_type>) -> Self {
                    self.0.$optional = Some(value.into());
                    self
                }
            )*

            /// The request.
            pub fn build(self) -> $request {
                self.0
            }
        }
    };
}

token_request! {
    /// A token for which a person may have to sign in.
    ///
    /// ```
    /// use keyward::{InteractiveRequest, Prompt};
    ///
    /// let request = InteractiveRequest {
    ///     scopes: ["User.Read"].into(),
    ///     login_hint: Some("alice@contoso.example".into()),
    ///     ..Default::default()
    /// };
    ///
    /// // The same, as a builder:
    /// let request = InteractiveRequest::builder(["User.Read"])
    ///     .login_hint("alice@contoso.example")
    ///     .prompt(Prompt::SelectAccount)
    ///     .build();
    /// # let _ = request;
    /// ```
    InteractiveRequest, InteractiveRequestBuilder {
        optional {
            /// What the person is asked to do (OpenID Connect Core §3.1.2.1). `None`: what the
            /// authority finds necessary.
            prompt: Prompt,
            /// How long the person may take. `None`: [`SystemOptions::deadline`].
            ///
            /// [`SystemOptions::deadline`]: crate::SystemOptions::deadline
            deadline: Duration,
        }
        plain {
            /// The window the sign-in belongs to.
            window_handle: WindowHandle,
        }
    }
}

token_request! {
    /// A token without any interaction: never signs anybody in.
    ///
    /// Names its account by `account`, else by `login_hint`; with neither, the one account there
    /// is answers, if there is exactly one.
    ///
    /// ```
    /// use keyward::SilentFlowRequest;
    ///
    /// # fn of(account: keyward::AccountInfo) {
    /// let request = SilentFlowRequest {
    ///     scopes: ["User.Read"].into(),
    ///     account: Some(account.clone()),
    ///     ..Default::default()
    /// };
    ///
    /// // The same, as a builder:
    /// let request = SilentFlowRequest::builder(["User.Read"]).account(account).build();
    /// # let _ = request;
    /// # }
    /// ```
    SilentFlowRequest, SilentFlowRequestBuilder {
        optional {}
        plain {
            /// Never answer from a cache. Keyward's broker honours it. Somebody else's broker has
            /// no such switch; there the cached token is fetched and its replacement asked for,
            /// which that broker may or may not give.
            force_refresh: bool,
        }
    }
}

/// Removes an account and everything kept for it, from the broker's vault too.
///
/// ```
/// # fn of(account: keyward::AccountInfo) {
/// let request = keyward::SignOutRequest {
///     account: Some(account),
///     ..Default::default()
/// };
/// # let _ = request;
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SignOutRequest {
    /// The account to remove. There is no "whichever": without one the request is an error.
    pub account: Option<AccountInfo>,
    /// Ties logs together. `None`: a new one.
    pub correlation_id: Option<CorrelationId>,
}

impl SignOutRequest {
    /// A builder for a request that removes this account.
    pub fn builder(account: AccountInfo) -> SignOutRequestBuilder {
        SignOutRequestBuilder(Self {
            account: Some(account),
            correlation_id: None,
        })
    }
}

/// Builds a [`SignOutRequest`].
#[derive(Clone, Debug)]
pub struct SignOutRequestBuilder(SignOutRequest);

impl SignOutRequestBuilder {
    /// Sets [`SignOutRequest::correlation_id`].
    #[must_use]
    pub fn correlation_id(mut self, correlation_id: CorrelationId) -> Self {
        self.0.correlation_id = Some(correlation_id);
        self
    }

    /// The request.
    pub fn build(self) -> SignOutRequest {
        self.0
    }
}
