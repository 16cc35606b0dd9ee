//! `bench tpm`: what a signature by a TPM costs through the key store, beside the same commands
//! given to the TPM directly.
//!
//! Both load a key, sign and flush it again, in a session that is salted with the storage key and
//! encrypts parameters, with one software TPM, in turns. A software TPM answers faster than any
//! other, so what the key store adds shows more than it would.

use std::time::Instant;

use clap::Args;
use keyward_keystore::tpm::TpmKeyStore;
use keyward_keystore::{KeyKind, KeyStore as _};
use keyward_testkit::SoftwareTpm;

use crate::report::{Compare, Report};
use crate::sample::Samples;
use crate::world::Failure;

mod bare;

use bare::Bare;

/// Signatures before the two take turns: few, so that both see the same machine.
const TURN: usize = 20;
/// The highest ratio that was aimed at.
const REACH: f64 = 1.2;

/// Arguments of `bench tpm`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Signatures of each.
    #[arg(long, default_value_t = 1000)]
    signatures: usize,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let tpm = SoftwareTpm::start();
    let folder = tempfile::tempdir()?;
    let store = TpmKeyStore::open(&folder.path().join("keys"), &tpm.tcti())?;
    let key = store.open(&store.create(KeyKind::Sign, None)?)?;
    let mut bare = Bare::connect(&tpm.tcti())?;

    let empty = Samples::in_stretches_of(TURN);
    let (mut through, mut direct) = (empty.clone(), empty);
    for _ in 0..arguments.signatures.div_ceil(TURN) {
        for _ in 0..TURN {
            let start = Instant::now();
            bare.sign(&[7; 32])?;
            direct.push(start.elapsed());
        }
        for _ in 0..TURN {
            let start = Instant::now();
            key.sign(b"message")?;
            through.push(start.elapsed());
        }
    }

    let mut report = Report::new("tpm");
    let floor = ("bare load, sign, flush", &direct);
    report.row("sign", &through, floor, Compare::P50(REACH));
    let device = store.device()?;
    report.extra("tpm", device.model.unwrap_or_default());
    report.extra("simulator", device.simulator);
    Ok(report)
}
