//! The errors this authority knows, by number.

use http::StatusCode;

use super::Aadsts;

impl Aadsts {
    fn new(number: u32, error: &'static str, text: impl Into<String>) -> Self {
        let (status, suberror) = (StatusCode::BAD_REQUEST, None);
        Self {
            number,
            error,
            text: text.into(),
            suberror,
            claims: None,
            status,
        }
    }

    fn with_suberror(self, suberror: &'static str) -> Self {
        Self {
            suberror: Some(suberror),
            ..self
        }
    }

    /// Something went wrong on our side.
    pub(crate) fn server_error() -> Self {
        let error = Self::new(
            90_033,
            "temporarily_unavailable",
            "A transient error has occurred.",
        );
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..error
        }
    }

    pub(crate) fn unknown_tenant(name: &str) -> Self {
        let text = format!(
            "Tenant '{name}' not found. Check to make sure you have the correct tenant ID."
        );
        Self::new(90_002, "invalid_request", text)
    }

    pub(crate) fn unknown_client(client_id: &str) -> Self {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory 'Dev'. It may \
             not have been installed by the administrator, or not be consented to by any user."
        );
        Self::new(700_016, "unauthorized_client", text)
    }

    pub(crate) fn redirect_uri(redirect_uri: &str, client_id: &str) -> Self {
        let text = format!(
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect \
             URIs configured for the application '{client_id}'."
        );
        Self::new(50_011, "invalid_request", text)
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        let text = format!("The request body must contain the following parameter: '{parameter}'.");
        Self::new(900_144, "invalid_request", text)
    }

    /// The request cannot be understood.
    pub(crate) fn malformed(what: &str) -> Self {
        let text = format!("Invalid request. Request is malformed or invalid: {what}.");
        Self::new(9_002_313, "invalid_request", text)
    }

    /// A value that is not allowed.
    pub(crate) fn bad_value(parameter: &str) -> Self {
        let text = format!("The value of the parameter '{parameter}' is not supported.");
        Self::new(90_023, "invalid_request", text)
    }

    pub(crate) fn unsupported_response_type() -> Self {
        let text = "The response_type is not enabled for the application.";
        Self::new(700_054, "unsupported_response_type", text)
    }

    pub(crate) fn unsupported_grant_type() -> Self {
        Self::new(
            70_003,
            "unsupported_grant_type",
            "The app requested an unsupported grant type.",
        )
    }

    pub(crate) fn client_is_public() -> Self {
        let text = "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.";
        let error = Self::new(700_025, "invalid_client", text);
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..error
        }
    }

    pub(crate) fn missing_challenge() -> Self {
        let text = "A public client must send a code_challenge of method S256 (43 characters).";
        Self::new(50_147, "invalid_request", text)
    }

    pub(crate) fn wrong_verifier() -> Self {
        let text = "The code_verifier does not match the code_challenge supplied in the authorization request.";
        Self::new(501_481, "invalid_grant", text)
    }

    pub(crate) fn scope(scope: &str) -> Self {
        let text =
            format!("The provided value for the input parameter 'scope' is not valid: '{scope}'.");
        Self::new(70_011, "invalid_scope", text)
    }

    pub(crate) fn unknown_user(user_name: &str) -> Self {
        let text = format!("The user account {user_name} does not exist in the Dev directory.");
        Self::new(50_034, "invalid_grant", text)
    }

    pub(crate) fn wrong_password() -> Self {
        let text = "Error validating credentials due to invalid username or password.";
        Self::new(50_126, "invalid_grant", text)
    }

    pub(crate) fn blocked() -> Self {
        Self::new(50_057, "invalid_grant", "The user account is disabled.")
    }

    pub(crate) fn password_expired() -> Self {
        Self::new(
            50_055,
            "invalid_grant",
            "The password is expired and must be changed.",
        )
        .with_suberror("user_password_expired")
    }

    pub(crate) fn login_required() -> Self {
        let text = "A silent sign-in request was sent but no user is signed in.";
        Self::new(50_058, "login_required", text)
    }

    pub(crate) fn several_accounts() -> Self {
        let text = "Either multiple user identities are available for the current request or the \
                    selected account is not supported for the scenario.";
        Self::new(16_000, "interaction_required", text)
    }

    pub(crate) fn consent_required(client_id: &str) -> Self {
        let text = format!(
            "The user or administrator has not consented to use the application with ID \
             '{client_id}'. Send an interactive authorization request for this user and resource."
        );
        Self::new(65_001, "consent_required", text).with_suberror("consent_required")
    }

    /// The same at the token endpoint, where it is about the grant.
    pub(crate) fn not_consented(client_id: &str) -> Self {
        Self {
            error: "invalid_grant",
            ..Self::consent_required(client_id)
        }
    }

    pub(crate) fn declined() -> Self {
        Self::new(
            65_004,
            "access_denied",
            "User declined to consent to access the app.",
        )
    }

    pub(crate) fn unknown_code() -> Self {
        let text =
            "The provided grant is invalid or malformed, or of another client or redirect URI.";
        Self::new(70_000, "invalid_grant", text)
    }

    pub(crate) fn unknown_refresh_token() -> Self {
        let text = "The provided refresh token is invalid or malformed.";
        Self::new(70_000, "invalid_grant", text).with_suberror("bad_token")
    }

    pub(crate) fn other_client() -> Self {
        let text = "The refresh token was issued to another client, which is not in a family with this one.";
        Self::new(70_000, "invalid_grant", text).with_suberror("client_mismatch")
    }

    pub(crate) fn code_expired() -> Self {
        let text = "The provided authorization code or refresh token has expired due to inactivity. \
                    Send a new interactive authorization request for this user and resource.";
        Self::new(70_008, "invalid_grant", text)
    }

    pub(crate) fn code_redeemed() -> Self {
        Self::new(
            54_005,
            "invalid_grant",
            "OAuth2 Authorization code was already redeemed.",
        )
    }

    pub(crate) fn refresh_token_expired() -> Self {
        let text = "The refresh token has expired due to inactivity.";
        Self::new(700_082, "invalid_grant", text).with_suberror("bad_token")
    }

    pub(crate) fn grant_revoked() -> Self {
        let text = "The provided grant has expired due to it being revoked, a fresh auth token is \
                    needed. The user might have changed or reset their password.";
        Self::new(50_173, "invalid_grant", text).with_suberror("bad_token")
    }

    /// A policy wants more than the grant proves.
    pub(crate) fn claims_challenge() -> Self {
        let text = "Due to a configuration change made by your administrator, or because you moved \
                    to a new location, you must use multi-factor authentication.";
        let error = Self::new(50_076, "invalid_grant", text).with_suberror("basic_action");
        let claims = r#"{"access_token":{"acrs":{"essential":true,"values":["c1"]}}}"#;
        Self {
            claims: Some(claims),
            ..error
        }
    }

    pub(crate) fn authorization_pending() -> Self {
        let text = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
        Self::new(70_016, "authorization_pending", text)
    }

    pub(crate) fn device_code_expired() -> Self {
        Self::new(70_019, "expired_token", "The device code has expired.")
    }

    pub(crate) fn device_declined() -> Self {
        Self {
            error: "authorization_declined",
            ..Self::declined()
        }
    }

    pub(crate) fn unknown_device_code() -> Self {
        let text = "The verification code is invalid or was used already.";
        Self::new(70_018, "bad_verification_code", text)
    }

    pub(crate) fn unknown_instance() -> Self {
        Self::new(50_049, "invalid_instance", "Unknown or invalid instance.")
    }

    pub(crate) fn throttled(status: StatusCode) -> Self {
        let text = "The request was throttled. Please try again later.";
        Self {
            status,
            ..Self::new(90_055, "temporarily_unavailable", text)
        }
    }
}
