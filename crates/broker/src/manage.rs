//! What a person at this device asks of the broker itself, beside tokens.

use std::sync::Arc;
use std::time::Duration;

use keyward_client::error::AcquireTokenError;
use keyward_client::manage::{DeviceDescription, DeviceReport, ManageAnswer, ManageRequest};
use keyward_client::oauth::transport::UserAgent;
use keyward_client::ports::unmanageable;
use keyward_keystore::Device;
use tokio::time::timeout;

use crate::opening::Open;
use crate::outcome::Outcome;

/// How long a report waits for the device: that it does not answer is worth knowing soon.
const PATIENCE: Duration = Duration::from_secs(1);

impl Outcome for ManageAnswer {}

impl Open {
    /// Sees or changes what is held. `agent` shows a sign-in where one is needed.
    pub(crate) async fn manage(
        &self,
        request: ManageRequest,
        agent: Arc<dyn UserAgent>,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        match request {
            ManageRequest::RebindBegin { to, account } => {
                let plan = self.rebind_begin(to, account.as_deref()).await?;
                Ok(ManageAnswer::RebindBegin(plan))
            }
            ManageRequest::RebindAccount(bound) => {
                self.rebind_account(&bound, agent).await?;
                Ok(ManageAnswer::RebindAccount)
            }
            ManageRequest::Forget => Ok(ManageAnswer::Forget(self.forget().await?)),
            ManageRequest::Device => Ok(ManageAnswer::Device(self.device().await)),
            ManageRequest::Apps => Ok(ManageAnswer::Apps(self.apps())),
            ManageRequest::RevokeApp { name } => {
                let revoked = self.policy.revoke(name.as_deref()).await?;
                Ok(ManageAnswer::RevokeApp { revoked })
            }
            ManageRequest::VaultCheck => self.check_vault().await,
            ManageRequest::VaultRepair { dry_run } => self.repair_vault(dry_run).await,
            // A newer request than this version knows.
            _ => Err(unmanageable()),
        }
    }

    /// What holds the keys, and what is bound to which of them.
    async fn device(&self) -> DeviceReport {
        let mut problems = self.remarks_about_keys().await;
        let choice = self.providers.choice();
        let asked = self.providers.ask(choice, |store| store.device());
        let device = match timeout(PATIENCE, asked).await {
            Ok(Ok(device)) => Some(device),
            Ok(Err(error)) => {
                problems.push(error.to_string());
                None
            }
            Err(_) => {
                let waited = PATIENCE.as_secs();
                problems.push(format!(
                    "what keeps {choice} keys has not answered for {waited} s"
                ));
                None
            }
        };
        let keys = self.key_names(&mut problems).await;
        DeviceReport {
            key_protection: choice,
            device: device.map(described),
            decision: Some(self.decided().report()),
            keys,
            accounts: self.engine.bound_accounts(),
            problems,
        }
    }
}

impl Open {
    /// The names of all keys there are.
    pub(crate) async fn key_names(&self, problems: &mut Vec<String>) -> Vec<String> {
        let mut keys = Vec::new();
        for protection in self.providers.all() {
            match self.providers.ask(protection, |store| store.keys()).await {
                Ok(held) => keys.extend(held.iter().map(|key| key.as_str().to_owned())),
                Err(error) => problems.push(error.to_string()),
            }
        }
        keys.sort();
        keys
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
