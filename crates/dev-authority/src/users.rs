//! The test users of both tenants.

use keyward_jose::base64url;
use keyward_jose::digest::sha256;
use uuid::{Uuid, uuid};

use crate::locked::Locked;
use crate::secrecy;
use crate::tenant::ENTRA_TENANT_ID;

/// An ordinary user.
pub const ALICE: &str = "alice@dev.test";
/// Another ordinary user.
pub const BOB: &str = "bob@dev.test";
/// A guest: at home in another tenant, so that `oid` and `uid`, `tid` and `utid` differ.
pub const GUEST: &str = "guest@partner.test";
/// A user who must change the password before anything else.
pub const CAROL: &str = "carol@dev.test";
/// A user who is blocked.
pub const MALLORY: &str = "mallory@dev.test";
/// Everybody's password.
pub const PASSWORD: &str = "pw";

/// The home tenant of [`GUEST`], which nobody serves.
pub const PARTNER_TENANT: &str = "99999999-8888-7777-6666-555555555555";
const PARTNER_TENANT_ID: Uuid = uuid!("99999999-8888-7777-6666-555555555555");

/// How many users there can be; the sign-up page adds some.
const MOST_USERS: usize = 200;

/// A person who can sign in.
#[derive(Clone)]
#[allow(clippy::struct_field_names)] // `user_name` is what everybody calls it
pub(crate) struct User {
    /// `preferred_username`, in lower case.
    pub(crate) user_name: String,
    pub(crate) given_name: String,
    pub(crate) family_name: String,
    /// The object in our Entra-shaped tenant.
    pub(crate) oid: Uuid,
    /// The object and its tenant where the user is at home (`client_info`).
    pub(crate) uid: Uuid,
    pub(crate) utid: Uuid,
    pub(crate) standing: Standing,
    password: String,
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    MustChangePassword,
    Blocked,
}

impl User {
    /// The name to show.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
            .trim()
            .to_owned()
    }

    /// The subject in the OpenID tenant: opaque, never a GUID, the same in every run.
    pub(crate) fn subject(&self) -> String {
        let digest = sha256(format!("keyward subject {}", self.user_name).as_bytes());
        base64url::encode(&digest[..18])
    }

    /// Whether the user is at home in another tenant.
    pub(crate) fn is_guest(&self) -> bool {
        self.utid != ENTRA_TENANT_ID
    }

    fn new(user_name: &str, name: (&str, &str), oid: Uuid) -> Self {
        Self {
            user_name: user_name.to_owned(),
            given_name: name.0.to_owned(),
            family_name: name.1.to_owned(),
            oid,
            uid: oid,
            utid: ENTRA_TENANT_ID,
            standing: Standing::Active,
            password: PASSWORD.to_owned(),
        }
    }
}

/// Why a person is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownUser,
    WrongPassword,
    Blocked,
    /// The password is right, and must be changed.
    MustChangePassword,
}

/// All users.
pub(crate) struct Directory(Locked<Vec<User>>);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(Locked::new(test_users()))
    }

    /// The user of that name, in any case.
    pub(crate) fn find(&self, user_name: &str) -> Option<User> {
        self.0.with(|users| {
            users
                .iter()
                .find(|user| user.user_name.eq_ignore_ascii_case(user_name))
                .cloned()
        })
    }

    /// Checks a password. What else is known about the user shows only to who has it.
    pub(crate) fn authenticate(&self, user_name: &str, password: &str) -> Result<User, Refused> {
        let user = self.find(user_name).ok_or(Refused::UnknownUser)?;
        if !secrecy::equal(&user.password, password) {
            return Err(Refused::WrongPassword);
        }
        match user.standing {
            Standing::Active => Ok(user),
            Standing::MustChangePassword => Err(Refused::MustChangePassword),
            Standing::Blocked => Err(Refused::Blocked),
        }
    }

    /// Replaces a password, given the old one.
    pub(crate) fn change_password(
        &self,
        user_name: &str,
        old: &str,
        new: &str,
    ) -> Result<User, Refused> {
        match self.authenticate(user_name, old) {
            Ok(_) | Err(Refused::MustChangePassword) => {}
            Err(refused) => return Err(refused),
        }
        self.0.with(|users| {
            let user = users
                .iter_mut()
                .find(|user| user.user_name.eq_ignore_ascii_case(user_name))
                .ok_or(Refused::UnknownUser)?;
            new.clone_into(&mut user.password);
            user.standing = Standing::Active;
            Ok(user.clone())
        })
    }

    /// Adds a user; `None` if the name is taken, no user name, or there are too many.
    pub(crate) fn create(&self, user_name: &str, name: &str, password: &str) -> Option<User> {
        let user_name = user_name.trim().to_lowercase();
        let valid = (3..=100).contains(&user_name.len()) && user_name.contains('@');
        let (given_name, family_name) = name.split_once(' ').unwrap_or((name, ""));
        let oid = Uuid::new_v5(&ENTRA_TENANT_ID, user_name.as_bytes());
        let mut user = User::new(&user_name, (given_name, family_name), oid);
        password.clone_into(&mut user.password);
        self.0.with(|users| {
            let taken = users.iter().any(|user| user.user_name == user_name);
            if !valid || taken || password.is_empty() || users.len() >= MOST_USERS {
                return None;
            }
            users.push(user.clone());
            Some(user)
        })
    }

    /// Back to the test users and their first passwords.
    pub(crate) fn reset(&self) {
        self.0.with(|users| *users = test_users());
    }
}

fn test_users() -> Vec<User> {
    let alice = uuid!("a11ce000-0000-4000-8000-000000000001");
    let bob = uuid!("b0b00000-0000-4000-8000-000000000002");
    let guest = uuid!("0b1ec700-0000-4000-8000-000000000003");
    let guest_at_home = uuid!("90e57000-0000-4000-8000-000000000003");
    let carol = uuid!("ca201000-0000-4000-8000-000000000004");
    let mallory = uuid!("3a110000-0000-4000-8000-000000000005");
    vec![
        User::new(ALICE, ("Alice", "Example"), alice),
        User::new(BOB, ("Bob", "Example"), bob),
        User {
            uid: guest_at_home,
            utid: PARTNER_TENANT_ID,
            ..User::new(GUEST, ("Gwen", "Guest"), guest)
        },
        User {
            standing: Standing::MustChangePassword,
            ..User::new(CAROL, ("Carol", "Example"), carol)
        },
        User {
            standing: Standing::Blocked,
            ..User::new(MALLORY, ("Mallory", "Example"), mallory)
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_about_a_user_shows_only_to_who_has_the_password() {
        let users = Directory::new();
        assert!(users.authenticate("ALICE@dev.test", "pw").is_ok());
        let refused = |name, password| users.authenticate(name, password).err();
        assert_eq!(refused(MALLORY, "pw"), Some(Refused::Blocked));
        assert_eq!(refused(MALLORY, "no"), Some(Refused::WrongPassword));
        assert_eq!(refused(CAROL, "pw"), Some(Refused::MustChangePassword));
        assert_eq!(refused("nobody@dev.test", "pw"), Some(Refused::UnknownUser));
    }

    #[test]
    fn a_changed_password_replaces_the_old_one() {
        let users = Directory::new();
        assert!(users.change_password(CAROL, "wrong", "new").is_err());
        assert!(users.change_password(CAROL, "pw", "new").is_ok());
        assert!(users.authenticate(CAROL, "new").is_ok());
        assert!(users.authenticate(CAROL, "pw").is_err());
        users.reset();
        assert_eq!(
            users.authenticate(CAROL, "pw").err(),
            Some(Refused::MustChangePassword)
        );
    }

    #[test]
    fn subjects_are_opaque_and_no_guids() {
        let subject = Directory::new().find(ALICE).unwrap().subject();
        assert!(Uuid::parse_str(&subject).is_err() && !subject.contains("alice"));
    }

    #[test]
    fn only_the_guest_is_at_home_elsewhere() {
        let users = Directory::new();
        assert!(users.find(GUEST).unwrap().is_guest());
        assert!(!users.find(ALICE).unwrap().is_guest());
        assert_ne!(
            users.find(GUEST).unwrap().oid,
            users.find(GUEST).unwrap().uid
        );
    }
}
