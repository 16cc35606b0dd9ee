//! One person's account at one tenant, as an application of the typed interface uses it.

use serde_json::{Value, json};

use crate::CLIENT;
use crate::stack::{Stack, Tenant};
use crate::typed::{Reply, Typed};

/// Somebody at a tenant.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The tenant.
    pub tenant: Tenant,
    /// The user name.
    pub name: &'static str,
}

impl Person {
    /// Signs in at the broker of a stack; the answer is the token.
    ///
    /// Panics when that does not work.
    pub fn sign_in(self, stack: &Stack) -> Value {
        stack.browser.signs_in(self.name);
        let typed = Typed::over_socket(stack);
        let signed_in = typed.ask("AcquireTokenInteractive", &self.request(stack));
        let token = signed_in.unwrap_or_else(|error| panic!("{self:?} signs in: {error:?}"));
        assert_eq!(token["username"], self.name);
        token
    }

    /// A token out of whatever cache.
    ///
    /// # Errors
    ///
    /// Those of the broker.
    pub fn hit(self, stack: &Stack, typed: &Typed) -> Reply {
        typed.ask("AcquireTokenSilent", &self.request(stack))
    }

    /// A token past every cache.
    ///
    /// # Errors
    ///
    /// Those of the broker.
    pub fn renew(self, stack: &Stack, typed: &Typed) -> Reply {
        let mut asked = self.request(stack);
        asked["force_refresh"] = json!(true);
        typed.ask("AcquireTokenSilent", &asked)
    }

    fn request(self, stack: &Stack) -> Value {
        json!({
            "client_id": CLIENT, "authority": stack.localhost_authority(self.tenant),
            "scopes": "User.Read", "username": self.name,
        })
    }
}
