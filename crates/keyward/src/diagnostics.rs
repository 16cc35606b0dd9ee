//! What is on the session bus, for programs that explain why something does not work.
//!
//! ```no_run
//! # async fn example() {
//! use keyward::{Environment, diagnostics};
//!
//! match diagnostics::session_bus(&Environment::of_process()).await {
//!     Ok(bus) => println!("{} belongs to {:?}", bus.microsoft.name, bus.microsoft.owner),
//!     Err(why) => println!("{why}"),
//! }
//! # }
//! ```

use keyward_config::Environment;

use crate::discovery::bus_address;

pub use keyward_broker_ipc::Owner;
pub use keyward_broker_ipc::diagnostics::{BusReport, NameReport, Owners, Secrets};

/// Looks at the session bus this environment names. Starts nobody but the Secret Service.
///
/// # Errors
///
/// Why there is no bus, or it cannot be reached, in plain words.
pub async fn session_bus(environment: &Environment) -> Result<BusReport, String> {
    let address = bus_address(environment)?;
    keyward_broker_ipc::diagnostics::inspect(&address).await
}

/// Asks the bus who owns the brokers' names, and their owners nothing: they may hang.
///
/// # Errors
///
/// Why there is no bus, or it cannot be reached, in plain words.
pub async fn owners(environment: &Environment) -> Result<Owners, String> {
    let address = bus_address(environment)?;
    keyward_broker_ipc::diagnostics::owners(&address).await
}
