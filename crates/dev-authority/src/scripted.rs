//! Filling in the pages as a person would. Pure: whoever drives it sends the requests.
//!
//! ```
//! use keyward_dev_authority::scripted::{Person, Reply};
//!
//! let person = Person::new("alice@dev.test", "pw");
//! let page = r#"<body data-page="password"><form method="post" action="/signin">
//!     <input type="hidden" name="flow" value="f"><input name="passwd" type="password" value="">
//!     <button type="submit" name="action" value="signin">Sign in</button></form></body>"#;
//! let Ok(Reply::Submit { action, body }) = person.reply(page) else { panic!() };
//! assert_eq!((action.as_str(), body.as_str()), ("/signin", "flow=f&passwd=pw&action=signin"));
//! ```
//!
//! The loop around it: GET the authorize URL, keeping cookies. On a redirect within the
//! authority's origin, follow it with GET; on a redirect to anywhere else, that is the answer. On a
//! page, POST what [`Person::reply`] says to its `action` (relative to the page's URL) as
//! `application/x-www-form-urlencoded`.

use url::Url;

use crate::pages::{Form, Page};

/// What a page names when the password is wrong, in either tenant.
const WRONG_PASSWORD: [&str; 2] = ["AADSTS50126", "wrong_password"];

/// A person who signs in.
#[derive(Clone)]
pub struct Person {
    user_name: String,
    password: String,
    new_password: Option<String>,
    user_code: Option<String>,
    choice: Choice,
    leaves: bool,
}

/// What the person does where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Signs in and consents.
    #[default]
    Accept,
    /// Signs in and declines on the consent page.
    Decline,
    /// Leaves at the first page.
    Cancel,
}

/// What the person does with a page.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// Send this form: POST `body` to `action`.
    Submit {
        /// Where to, absolute or relative to the page's URL.
        action: String,
        /// `application/x-www-form-urlencoded`.
        body: String,
    },
    /// The page is the answer, to be POSTed to the client (`response_mode=form_post`).
    FormPost {
        /// The redirect URI.
        action: String,
        /// `application/x-www-form-urlencoded`.
        body: String,
    },
    /// There is nothing left to do.
    Done,
}

/// Why the person is stuck.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// The page says so: a wrong password, a blocked user, an unknown application.
    #[error("the page {page} says {error}")]
    Refused {
        /// The page's name.
        page: String,
        /// What it names.
        error: String,
    },
    /// It is no page of the authority, or lacks what it should have.
    #[error("the page {0:?} cannot be filled in")]
    Unknown(String),
    /// The page asks for something the person was not given: a new password, a device's code.
    #[error("the page {0} asks for something that was not given")]
    NotGiven(String),
}

impl Person {
    /// Somebody who signs in and consents.
    pub fn new(user_name: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user_name: user_name.into(),
            password: password.into(),
            new_password: None,
            user_code: None,
            choice: Choice::Accept,
            leaves: false,
        }
    }

    /// The user an authorize URL hints at (`login_hint`), or else `otherwise`.
    pub fn hinted(authorize_url: &Url, otherwise: &str, password: &str) -> Self {
        let mut parameters = authorize_url.query_pairs();
        let hint = parameters.find(|(name, value)| name == "login_hint" && !value.is_empty());
        Self::new(
            hint.map_or_else(|| otherwise.to_owned(), |(_, hint)| hint.into_owned()),
            password,
        )
    }

    /// What to do where there is a choice.
    #[must_use]
    pub fn choosing(mut self, choice: Choice) -> Self {
        self.choice = choice;
        self
    }

    /// Leaves at the next page that can be left, whatever it says.
    #[must_use]
    pub fn leaving(mut self) -> Self {
        self.leaves = true;
        self
    }

    /// The password to change to, where one must be changed; also the one to try where the other is
    /// wrong, because it was changed before.
    #[must_use]
    pub fn with_new_password(mut self, new_password: impl Into<String>) -> Self {
        self.new_password = Some(new_password.into());
        self
    }

    /// The code a device shows, for `/devicelogin`.
    #[must_use]
    pub fn with_user_code(mut self, user_code: impl Into<String>) -> Self {
        self.user_code = Some(user_code.into());
        self
    }

    /// What the person does with a page.
    ///
    /// # Errors
    ///
    /// When there is nothing the person could do about it.
    pub fn reply(&self, html: &str) -> Result<Reply, Stuck> {
        let page = Page::parse(html);
        if page.name == "done" {
            return Ok(Reply::Done);
        }
        if let (true, Some(form)) = (self.leaves, &page.form)
            && form.has_button("action", "cancel")
        {
            return Ok(submit(form, "action", "cancel"));
        }
        // That a password must be changed is no refusal where it can be changed.
        match page.error {
            Some(error) if WRONG_PASSWORD.contains(&error.as_str()) => {
                return self.try_the_other(page.form, page.name, error);
            }
            Some(error) if page.name != "change-password" || error == "unfit_password" => {
                return Err(Stuck::Refused {
                    page: page.name,
                    error,
                });
            }
            _ => {}
        }
        let form = page.form.ok_or_else(|| Stuck::Unknown(page.name.clone()))?;
        if page.name == "form-post" {
            let body = form.submission(None);
            return Ok(Reply::FormPost {
                action: form.action,
                body,
            });
        }
        if self.choice == Choice::Cancel && form.has_button("action", "cancel") {
            return Ok(submit(&form, "action", "cancel"));
        }
        self.fill_in(&page.name, form)
    }

    /// Types the new password where the old one is wrong.
    fn try_the_other(
        &self,
        form: Option<Form>,
        page: String,
        error: String,
    ) -> Result<Reply, Stuck> {
        let mut form = form.ok_or_else(|| Stuck::Unknown(page.clone()))?;
        match &self.new_password {
            Some(new) if form.fill("passwd", new) => Ok(submit(&form, "action", "signin")),
            _ => Err(Stuck::Refused { page, error }),
        }
    }

    fn fill_in(&self, page: &str, mut form: Form) -> Result<Reply, Stuck> {
        let not_given = || Stuck::NotGiven(page.to_owned());
        let (inputs, button): (Vec<(&str, &str)>, _) = match page {
            "user-name" => (vec![("loginfmt", &self.user_name)], ("action", "next")),
            "password" => (vec![("passwd", &self.password)], ("action", "signin")),
            "change-password" => {
                let new = self.new_password.as_deref().ok_or_else(not_given)?;
                let inputs = vec![
                    ("oldpasswd", &*self.password),
                    ("newpasswd", new),
                    ("confirmnewpasswd", new),
                ];
                (inputs, ("action", "change"))
            }
            "create-account" => {
                let inputs = vec![
                    ("newloginfmt", &*self.user_name),
                    ("newname", &*self.user_name),
                    ("newpasswd", &*self.password),
                ];
                (inputs, ("action", "create"))
            }
            "account-picker" => match self.own_account(&form) {
                Some(account) => return Ok(submit(&form, "account", &account)),
                None => (Vec::new(), ("action", "other")),
            },
            "consent" if self.choice == Choice::Decline => (Vec::new(), ("action", "deny")),
            "consent" => (Vec::new(), ("action", "accept")),
            "user-code" => {
                let code = self.user_code.as_deref().ok_or_else(not_given)?;
                (vec![("otc", code)], ("action", "next"))
            }
            _ => return Err(Stuck::Unknown(page.to_owned())),
        };
        let filled = inputs.iter().all(|(name, value)| form.fill(name, value));
        if !filled || !form.has_button(button.0, button.1) {
            return Err(Stuck::Unknown(page.to_owned()));
        }
        Ok(submit(&form, button.0, button.1))
    }

    fn own_account(&self, form: &Form) -> Option<String> {
        let accounts = form
            .buttons
            .iter()
            .filter(|button| button.name == "account");
        let mut own = accounts.filter(|button| button.value.eq_ignore_ascii_case(&self.user_name));
        own.next().map(|button| button.value.clone())
    }
}

fn submit(form: &Form, name: &str, value: &str) -> Reply {
    Reply::Submit {
        action: form.action.clone(),
        body: form.submission(Some((name, value))),
    }
}

/// Shows no password.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

/// Shows no body: it may hold a password or a code.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Submit { .. } => "Submit",
            Self::FormPost { .. } => "FormPost",
            Self::Done => "Done",
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hinted_user_goes_before_the_default_one() {
        let named = |query: &str| {
            let url = Url::parse(&format!("http://localhost/oidc/authorize?{query}")).unwrap();
            Person::hinted(&url, "alice@dev.test", "pw").user_name
        };
        assert_eq!(named("login_hint=bob%40dev.test&x=y"), "bob@dev.test");
        assert_eq!(named("login_hint="), "alice@dev.test");
        assert_eq!(named(""), "alice@dev.test");
    }

    #[test]
    fn what_is_no_page_of_ours_is_not_filled_in() {
        let person = Person::new("alice@dev.test", "pw");
        for foreign in [
            "",
            "<p>hello",
            "<body data-page=\"password\"><form action=\"/\"></form>",
        ] {
            assert!(
                matches!(person.reply(foreign), Err(Stuck::Unknown(_))),
                "{foreign}"
            );
        }
        assert!(!format!("{person:?}").contains("pw"));
    }
}
