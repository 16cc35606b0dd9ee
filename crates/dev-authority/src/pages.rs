//! The HTML pages a person sees, and how a program reads them.
//!
//! Every page has at most one form, and every form is trivial to drive: `method`, `action`, hidden
//! fields, named inputs, named buttons; attributes are double-quoted, and nothing needs a script.
//! [`Page::parse`] reads them back. The names never change:
//!
//! | `data-page` | inputs | buttons (`name=value`) |
//! |---|---|---|
//! | `user-name` | `loginfmt` | `action=next`, `action=create`, `action=cancel` |
//! | `password` | `passwd` | `action=signin`, `action=back`, `action=cancel` |
//! | `change-password` | `oldpasswd`, `newpasswd`, `confirmnewpasswd` | `action=change`, `action=cancel` |
//! | `create-account` | `newloginfmt`, `newname`, `newpasswd` | `action=create`, `action=cancel` |
//! | `account-picker` | | `account=USER NAME`, `action=other`, `action=cancel` |
//! | `consent` | | `action=accept`, `action=deny` |
//! | `user-code` | `otc` | `action=next` |
//! | `form-post` | the answer's parameters | one without a name |
//! | `done`, `error`, `home` | | |
//!
//! Hidden: `flow` and `canary`, and `page`, the page's own name. What went wrong stands in an
//! element with `role="alert"`, whose `data-error` names it: `AADSTS50126`, `wrong_password`…
//!
//! [`scripted`](crate::scripted) fills them in.

pub mod form;
mod layout;
mod views;

pub use form::{Button, Field, Form, Page};
pub(crate) use layout::Alert;
pub(crate) use views::{
    change_password, consent, create_account, device_done, error, form_post, home, password,
    pick_account, signed_out, user_code, user_name,
};
