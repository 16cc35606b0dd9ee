//! What is wrong with the vault, and mending it.

use keyward_client::error::AcquireTokenError;
use keyward_client::manage::ManageAnswer;

use crate::opening::Open;

impl Open {
    /// Reads the whole vault and says what is wrong with it.
    pub(crate) async fn check_vault(&self) -> Result<ManageAnswer, AcquireTokenError> {
        let report = self.kept.vault.check().await?;
        Ok(ManageAnswer::VaultCheck(report))
    }

    /// Puts a clean vault in the place of a damaged one, and goes on with it.
    pub(crate) async fn repair_vault(
        &self,
        dry_run: bool,
    ) -> Result<ManageAnswer, AcquireTokenError> {
        let repair = self.kept.vault.repair(dry_run).await?;
        if repair.repaired {
            let aside = repair.kept_aside.as_deref().unwrap_or_default();
            tracing::warn!(lost = repair.lost, aside, "the vault was repaired");
            // What was said of the damaged one is over.
            self.engine.open().await?;
        }
        Ok(ManageAnswer::VaultRepair(repair))
    }
}
