//! Monotonic counters in the TPM's non-volatile memory.

use std::sync::Arc;
use std::time::Instant;

use tss_esapi::Context;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, ObjectHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{NvPublic, NvPublicBuilder};

use super::context::{Connection, is_there};
use super::fault::{Fault, code};
use super::worker::{Again, Worker};
use crate::counter::{Counter, CounterId};
use crate::error::KeyStoreError;

/// Bytes of a counter.
const SIZE: u16 = 8;

/// How many indices are tried when others are defined in between.
const TRIES: u32 = 8;

/// The counters of a TPM.
pub(super) struct Counters(pub(super) Arc<Worker>);

impl Counter for Counters {
    fn create(&self) -> Result<CounterId, KeyStoreError> {
        let expires = Instant::now() + self.0.deadline();
        Ok(self.0.call(Again::Never, move |connection| {
            let id = create(connection)?;
            if Instant::now() < expires {
                return Ok(id);
            }
            // Nobody would ever use it, and there is little room for any.
            remove(connection, id)?;
            let late = "it was too slow".to_owned();
            Err(Fault::Final(KeyStoreError::Unavailable(late)))
        })?)
    }

    fn read(&self, id: &CounterId) -> Result<u64, KeyStoreError> {
        let id = *id;
        Ok(self.0.call(Again::Harmless, move |connection| {
            with_index(connection, id, value)
        })?)
    }

    fn step(&self, id: &CounterId) -> Result<u64, KeyStoreError> {
        // Reading first leaves a connection that is known to work: the step is not repeated.
        self.read(id)?;
        let id = *id;
        Ok(self.0.call(Again::Never, move |connection| {
            with_index(connection, id, |context, index| {
                context.nv_increment(NvAuth::NvIndex(index), index)?;
                value(context, index)
            })
        })?)
    }

    fn remove(&self, id: &CounterId) -> Result<(), KeyStoreError> {
        let id = *id;
        Ok(self
            .0
            .call(Again::Harmless, move |connection| remove(connection, id))?)
    }
}

/// Defines a counter at an index nobody uses.
fn create(connection: &mut Connection) -> Result<CounterId, Fault> {
    for _ in 0..TRIES {
        let id = any_index()?;
        if is_defined(connection, id)? {
            continue;
        }
        let defined = connection.in_session(|context, _| {
            let index = context.nv_define_space(Provision::Owner, None, public_area(id)?)?;
            // It has no value before the first step.
            context.nv_increment(NvAuth::NvIndex(index), index)?;
            close(context, index)
        });
        match defined {
            Ok(()) => return Ok(id),
            Err(fault) if fault.is(code::NV_DEFINED) => {}
            Err(fault) => return Err(fault),
        }
    }
    let what = "no free index was found for a counter".to_owned();
    Err(Fault::Final(KeyStoreError::Unavailable(what)))
}

fn remove(connection: &mut Connection, id: CounterId) -> Result<(), Fault> {
    let Some(index) = find(connection, id)? else {
        return Ok(());
    };
    connection.in_session(|context, _| Ok(context.nv_undefine_space(Provision::Owner, index)?))
}

/// An index anywhere in the owner's range: whoever else defines some begins at its start.
fn any_index() -> Result<CounterId, Fault> {
    let mut random = [0; 4];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| Fault::Final(KeyStoreError::Crypto("random")))?;
    let within = u32::from_be_bytes(random) & 0x003f_ffff;
    CounterId::new(0x0180_0000 | within).ok_or(Fault::Final(KeyStoreError::Crypto("random")))
}

/// Usable with its own, empty authorization value, so that it goes on when the owner sets one;
/// making and removing it is the owner's. No wrong value locks the TPM.
fn public_area(id: CounterId) -> Result<NvPublic, Fault> {
    let attributes = NvIndexAttributesBuilder::new()
        .with_nv_index_type(NvIndexType::Counter)
        .with_auth_write(true)
        .with_auth_read(true)
        .with_owner_read(true)
        .with_no_da(true)
        .build()?;
    let public = NvPublicBuilder::new()
        .with_nv_index(NvIndexTpmHandle::new(id.index())?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(usize::from(SIZE))
        .build()?;
    Ok(public)
}

fn is_defined(connection: &mut Connection, id: CounterId) -> Result<bool, Fault> {
    let handle = TpmHandle::NvIndex(NvIndexTpmHandle::new(id.index())?);
    is_there(&mut connection.context, handle)
}

/// Finds a counter. `None`: there is nothing of that index.
fn find(connection: &mut Connection, id: CounterId) -> Result<Option<NvIndexHandle>, Fault> {
    if !is_defined(connection, id)? {
        return Ok(None);
    }
    let handle = TpmHandle::NvIndex(NvIndexTpmHandle::new(id.index())?);
    let index = NvIndexHandle::from(connection.context.tr_from_tpm_public(handle)?);
    let (public, _) = connection.context.nv_read_public(index)?;
    if public.attributes().index_type() == Ok(NvIndexType::Counter) {
        return Ok(Some(index));
    }
    close(&mut connection.context, index)?;
    Ok(None)
}

/// Does something with a counter that must be there.
fn with_index<T>(
    connection: &mut Connection,
    id: CounterId,
    commands: impl FnOnce(&mut Context, NvIndexHandle) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let index = find(connection, id)?.ok_or_else(|| {
        Fault::Final(KeyStoreError::Lost(
            "the TPM has no such counter: it was cleared, or is another one".to_owned(),
        ))
    })?;
    connection.in_session(|context, _| {
        let result = commands(context, index);
        close(context, index)?;
        result
    })
}

fn value(context: &mut Context, index: NvIndexHandle) -> Result<u64, Fault> {
    let bytes = context.nv_read(NvAuth::NvIndex(index), index, SIZE, 0)?;
    let number = bytes.value().try_into().map(u64::from_be_bytes);
    number.map_err(|_| {
        let what = "the TPM gave a counter of another size".to_owned();
        Fault::Final(KeyStoreError::Unavailable(what))
    })
}

/// Forgets what the library knows of an index.
fn close(context: &mut Context, index: NvIndexHandle) -> Result<(), Fault> {
    Ok(context.tr_close(&mut ObjectHandle::from(index))?)
}
