//! Who asks the person in front of this command: the terminal, the browser.

use std::sync::Arc;

use keyward::UserAgent;
use keyward_user_agent::AtTerminal;

use crate::commands::login::browser;
use crate::console::Console;
use crate::defaults::Defaults;
use crate::failure::Failure;

/// The user agent of a command: sign-ins in the browser; questions on the terminal, if a person is
/// at one.
pub fn agent(
    defaults: &Defaults<'_>,
    console: &Console<'_>,
) -> Result<Arc<dyn UserAgent>, Failure> {
    let person = console.is_for_a_person();
    let browser = browser(defaults, person)?;
    Ok(if person {
        Arc::new(AtTerminal::or_else(browser))
    } else {
        Arc::new(browser)
    })
}
