//! The open connection to the TPM, and the session every command runs in.

use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{KeyHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{CapabilityData, SymmetricDefinition};

use super::fault::Fault;
use super::parent::{Parent, ParentId};
use super::tcti::Tcti;

/// A connection to the TPM. Only the parent and one session stay loaded; dropping it gives both
/// back.
pub(super) struct Connection {
    pub(super) context: Context,
    tcti: Tcti,
    anchor: Option<Anchor>,
    /// The Name of the parent that was wanted last.
    wanted: Option<Vec<u8>>,
}

/// A parent, and the session that is salted with it.
struct Anchor {
    parent: Parent,
    session: AuthSession,
}

impl Connection {
    /// Connects.
    pub(super) fn open(tcti: &Tcti) -> Result<Self, Fault> {
        tcti.check_access().map_err(Fault::Final)?;
        let context = Context::new(tcti.configuration()).map_err(|error| {
            let reason = Fault::from(error);
            match reason {
                Fault::Disconnected(_) => {
                    Fault::Disconnected(format!("nothing answers at {}", tcti.text()))
                }
                other => other,
            }
        })?;
        Ok(Self {
            context,
            tcti: tcti.clone(),
            anchor: None,
            wanted: None,
        })
    }

    /// How it is connected.
    pub(super) fn tcti(&self) -> &Tcti {
        &self.tcti
    }

    /// Makes sure of a parent for new keys, and says which it is.
    pub(super) fn under_any(&mut self) -> Result<ParentId, Fault> {
        if let Some(anchor) = &self.anchor {
            return Ok(anchor.parent.id.clone());
        }
        let parent = Parent::choose(&mut self.context)?;
        let id = parent.id.clone();
        self.anchor(parent)?;
        Ok(id)
    }

    /// Makes sure of the parent of a key.
    pub(super) fn under(&mut self, wanted: &ParentId) -> Result<(), Fault> {
        self.wanted = Some(wanted.name.clone());
        if let Some(anchor) = &self.anchor {
            if anchor.parent.id.name == wanted.name {
                return Ok(());
            }
            self.release()?;
        }
        let parent = Parent::find(&mut self.context, wanted)?;
        self.anchor(parent)
    }

    /// Runs commands in the session: salted with the parent, authenticated by HMAC, parameters
    /// encrypted both ways.
    pub(super) fn in_session<T>(
        &mut self,
        commands: impl FnOnce(&mut Context, KeyHandle) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.under_any()?;
        let Some(anchor) = &self.anchor else {
            return Err(Fault::Disconnected("no session was made".to_owned()));
        };
        let (session, parent) = (anchor.session, anchor.parent.handle);
        self.context
            .execute_with_session(Some(session), |context| commands(context, parent))
    }

    fn anchor(&mut self, parent: Parent) -> Result<(), Fault> {
        self.wanted = Some(parent.id.name.clone());
        let session = salted_session(&mut self.context, parent.handle)?;
        self.anchor = Some(Anchor { parent, session });
        Ok(())
    }

    /// Gives back what an earlier run of ours left in the TPM when it was killed and no resource
    /// manager was there to clean up. It is known by the Name of our parent; nobody else's objects
    /// have it but those of others who use the same parent, and they make it again as we do.
    pub(super) fn make_room(&mut self) -> Result<(), Fault> {
        self.release()?;
        let wanted = self.wanted.clone().unwrap_or_default();
        for handle in handles(&mut self.context, TRANSIENT)? {
            let mut object = self.context.tr_from_tpm_public(handle)?;
            if self.context.tr_get_name(object)?.value() == wanted {
                self.context.flush_context(object)?;
            } else {
                // It is not ours to flush, which the library would otherwise do at the end. It
                // reports that as an error.
                let _ = self.context.tr_close(&mut object);
            }
        }
        // Nobody can tell whose a session is. A software TPM is there for us alone.
        if self.tcti.is_simulator() {
            for handle in handles(&mut self.context, SESSION)? {
                let session = self.context.tr_from_tpm_public(handle)?;
                self.context.flush_context(session)?;
            }
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fault> {
        if let Some(Anchor { parent, session }) = self.anchor.take() {
            self.context
                .flush_context(SessionHandle::from(session).into())?;
            parent.release(&mut self.context)?;
        }
        Ok(())
    }
}

/// Whoever listens on the bus between processor and TPM, or answers in the TPM's place, neither
/// learns nor changes what is sent: the session's key is encrypted to the parent, which is known by
/// its Name from then on.
fn salted_session(context: &mut Context, parent: KeyHandle) -> Result<AuthSession, Fault> {
    let session = context
        .start_auth_session(
            Some(parent),
            None,
            None,
            SessionType::Hmac,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )?
        .ok_or_else(|| Fault::Disconnected("the TPM made no session".to_owned()))?;
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_continue_session(true)
        .with_decrypt(true)
        .with_encrypt(true)
        .build();
    context.tr_sess_set_attributes(session, attributes, mask)?;
    Ok(session)
}

/// First handles of objects and of sessions that are loaded (TPM 2.0 Library, part 2, §7.2).
const TRANSIENT: u32 = 0x8000_0000;
const SESSION: u32 = 0x0200_0000;

/// What the TPM, or the resource manager in between, has loaded from this handle on.
fn handles(context: &mut Context, first: u32) -> Result<Vec<TpmHandle>, Fault> {
    const MOST: u32 = 64;
    let (found, _) = context.get_capability(CapabilityType::Handles, first, MOST)?;
    let CapabilityData::Handles(handles) = found else {
        return Ok(Vec::new());
    };
    let mut handles = handles.into_inner();
    handles.retain(|handle| u32::from(*handle) >> 24 == first >> 24);
    Ok(handles)
}

/// Whether the TPM has something at this handle. Asking for it outright would be an error that the
/// library reports on standard error.
pub(super) fn is_there(context: &mut Context, handle: TpmHandle) -> Result<bool, Fault> {
    Ok(handles(context, handle.into())?.first() == Some(&handle))
}
