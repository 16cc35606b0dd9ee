//! What applications meant by the authorities they named, so that a URL they name before each of
//! their requests is not parsed again each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Authority;
use crate::error::AcquireTokenError;

/// The most names remembered; beyond, all are forgotten. Anybody can name `https://ANYHOST/GUID`.
const MOST: usize = 64;

/// Names that were resolved, and to what.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How many issuers were in use. With one more, a name may mean something else.
    issuers: usize,
    names: HashMap<String, Arc<Authority>>,
}

impl Names {
    /// What `name` means while this many issuers are in use: as remembered, or as `resolve` says.
    ///
    /// # Errors
    ///
    /// Those of `resolve`; they are not remembered.
    pub(crate) fn resolve(
        &self,
        name: &str,
        issuers: usize,
        resolve: impl FnOnce() -> Result<Authority, AcquireTokenError>,
    ) -> Result<Arc<Authority>, AcquireTokenError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.issuers != issuers {
            known.names.clear();
            known.issuers = issuers;
        }
        if let Some(authority) = known.names.get(name) {
            return Ok(Arc::clone(authority));
        }
        let authority = Arc::new(resolve()?);
        if known.names.len() >= MOST {
            known.names.clear();
        }
        known.names.insert(name.to_owned(), Arc::clone(&authority));
        Ok(authority)
    }
}

#[cfg(test)]
mod tests {
    use super::super::AuthorityRules;
    use super::*;

    fn resolve(names: &Names, name: &str, used: &[(&str, &str)]) -> Arc<Authority> {
        let issuer = |guid: &str| {
            let known = used.iter().find(|(known, _)| *known == guid);
            known.map(|(_, issuer)| Arc::from(*issuer))
        };
        names
            .resolve(name, used.len(), || {
                AuthorityRules::default().resolve(name, issuer)
            })
            .unwrap()
    }

    #[test]
    fn a_name_means_something_else_once_an_issuer_is_used() {
        const GUID: &str = "0b3c1c6e-8a5d-5d38-b6c1-0c4f6f9f2d11";
        let names = Names::default();
        let name = format!("https://login.microsoftonline.com/{GUID}");
        let before = resolve(&names, &name, &[]);
        assert!(Arc::ptr_eq(&before, &resolve(&names, &name, &[])));
        let after = resolve(&names, &name, &[(GUID, "https://idp.example")]);
        assert_eq!(&*after.provider, "https://idp.example");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let names = Names::default();
        for tenant in 0..10 * MOST {
            let name = format!("https://login.microsoftonline.com/t{tenant}.example");
            resolve(&names, &name, &[]);
        }
        assert!(names.0.lock().unwrap().names.len() <= MOST);
    }
}
