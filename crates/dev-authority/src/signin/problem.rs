//! What can go wrong on a page, and what a client is told when a person does not get through.

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::pages::Alert;
use crate::tenant::Tenant;
use crate::users::Refused;

/// Something the person can put right on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    UnknownUser(String),
    Refused(Refused),
    /// The new password is empty, the old one, or not the same twice.
    UnfitPassword,
    /// The account cannot be made: the name is taken, or is none.
    UnfitUserName,
    UnknownUserCode,
}

impl Problem {
    /// How a tenant's page says it.
    pub(crate) fn alert(&self, tenant: Option<Tenant>) -> Alert {
        let plain = |code: &str, text: &str| Alert {
            code: code.to_owned(),
            text: text.to_owned(),
        };
        let aadsts = match self {
            Self::UnfitPassword => {
                let text = "Choose a new password and enter it twice, the same both times.";
                return plain("unfit_password", text);
            }
            Self::UnfitUserName => {
                return plain(
                    "unfit_user_name",
                    "That user name is taken or cannot be used.",
                );
            }
            Self::UnknownUserCode => {
                return plain(
                    "unknown_user_code",
                    "That code did not work. Check it and try again.",
                );
            }
            Self::UnknownUser(name) => Aadsts::unknown_user(name),
            Self::Refused(Refused::UnknownUser) => Aadsts::unknown_user(""),
            Self::Refused(Refused::WrongPassword) => Aadsts::wrong_password(),
            Self::Refused(Refused::Blocked) => Aadsts::blocked(),
            Self::Refused(Refused::MustChangePassword) => Aadsts::password_expired(),
        };
        match tenant {
            Some(Tenant::Oidc) => Alert {
                code: self.plain_code().to_owned(),
                text: aadsts.text,
            },
            _ => aadsts.alert(),
        }
    }

    const fn plain_code(&self) -> &'static str {
        match self {
            Self::UnknownUser(_) | Self::Refused(Refused::UnknownUser) => "unknown_user",
            Self::Refused(Refused::WrongPassword) => "wrong_password",
            Self::Refused(Refused::Blocked) => "blocked",
            Self::Refused(Refused::MustChangePassword) => "password_expired",
            Self::UnfitPassword => "unfit_password",
            Self::UnfitUserName => "unfit_user_name",
            Self::UnknownUserCode => "unknown_user_code",
        }
    }
}

/// Why the client gets no code (OpenID Connect Core §3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `prompt=none`, and nobody is signed in.
    LoginRequired,
    /// `prompt=none`, and several accounts fit.
    SeveralAccounts,
    /// `prompt=none`, and nobody consented.
    ConsentRequired,
    /// The person said no to what is asked.
    Declined,
    /// The person left.
    Canceled,
}

impl Refusal {
    /// `error` and `error_description`, and what else a tenant says.
    pub(crate) fn parameters(
        self,
        call: &Call,
        tenant: Tenant,
        client_id: &str,
    ) -> Vec<(&'static str, String)> {
        match tenant {
            Tenant::Entra => self.entra_parameters(call, client_id),
            Tenant::Oidc => {
                let (error, description) = self.plain();
                vec![
                    ("error", error.to_owned()),
                    ("error_description", description.to_owned()),
                ]
            }
        }
    }

    fn entra_parameters(self, call: &Call, client_id: &str) -> Vec<(&'static str, String)> {
        let aadsts = match self {
            Self::LoginRequired => Aadsts::login_required(),
            Self::SeveralAccounts => Aadsts::several_accounts(),
            Self::ConsentRequired => Aadsts::consent_required(client_id),
            Self::Declined | Self::Canceled => Aadsts::declined(),
        };
        let mut parameters = vec![
            ("error", aadsts.error.to_owned()),
            ("error_description", aadsts.description(call)),
        ];
        if self == Self::Canceled {
            parameters.push(("error_subcode", "cancel".to_owned()));
        }
        parameters
    }

    const fn plain(self) -> (&'static str, &'static str) {
        match self {
            Self::LoginRequired => ("login_required", "nobody is signed in"),
            Self::SeveralAccounts => ("account_selection_required", "several accounts fit"),
            Self::ConsentRequired => ("consent_required", "consent was not given"),
            Self::Declined => ("access_denied", "the user declined"),
            Self::Canceled => ("access_denied", "the user cancelled the sign-in"),
        }
    }
}
