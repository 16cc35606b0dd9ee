//! What a person at this device asks of the broker itself, beside tokens.

use std::sync::Arc;

use keyward_client::error::AcquireTokenError;
use keyward_client::manage::{DeviceDescription, DeviceReport, ManageAnswer, ManageRequest};
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::unmanageable;
use keyward_keystore::Device;

use crate::holdings::Open;
use crate::outcome::Outcome;

impl Outcome for ManageAnswer {}

impl Open {
    /// Sees or changes what is held. `agent` shows a sign-in where one is needed.
    pub(crate) async fn manage(
        &self,
        request: ManageRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let _ = agent;
        match request {
            ManageRequest::Device => Ok(ManageAnswer::Device(self.device())),
            // A newer request than this version knows.
            _ => Err(unmanageable()),
        }
    }

    /// What holds the keys, and what is bound to which of them.
    fn device(&self) -> DeviceReport {
        let mut problems = Vec::new();
        let mut told = |error: keyward_keystore::KeyStoreError| problems.push(error.to_string());
        let device = self.keys.device().map_err(&mut told).ok();
        let keys = self.keys.keys().map_err(&mut told).unwrap_or_default();
        let mut keys: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        keys.sort();
        DeviceReport {
            key_protection: self.key_protection,
            device: device.map(described),
            decision: None,
            keys,
            accounts: self.engine.bound_accounts(),
            problems,
        }
    }
}

fn described(device: Device) -> DeviceDescription {
    DeviceDescription {
        maker: device.maker,
        model: device.model,
        firmware: device.firmware,
        simulator: device.simulator,
    }
}
