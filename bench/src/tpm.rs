//! `bench tpm`: what a signature by a TPM costs through the key store, beside the same commands
//! given to the TPM directly.
//!
//! Both load a key, sign and flush it again, in a session that is salted with the storage key and
//! encrypts parameters, with one software TPM, in turns. A software TPM answers faster than any
//! other, so what the key store adds shows more than it would.
//!
//! And what silent hits cost while the TPM does not answer.

use std::time::{Duration, Instant};

use clap::Args;
use keyward_client::ports::TokenBroker as _;
use keyward_client::request::CachePolicy;
use keyward_keystore::tpm::TpmKeyStore;
use keyward_keystore::{KeyKind, KeyStore as _};
use keyward_testkit::SoftwareTpm;

use crate::peers::{Path, Peer};
use crate::report::{Compare, Report};
use crate::sample::{Samples, repeat};
use crate::world::{Failure, World};

mod bare;

use bare::Bare;

/// Signatures before the two take turns: few, so that both see the same machine.
const TURN: usize = 20;
/// The highest ratio that was aimed at.
const REACH: f64 = 1.2;

/// How long the TPM stalls.
const STALL: Duration = Duration::from_secs(5);

/// Arguments of `bench tpm`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Signatures of each.
    #[arg(long, default_value_t = 1000)]
    signatures: usize,
}

/// Runs it.
pub async fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let mut report = Report::new("tpm");
    signatures(arguments.signatures, &mut report)?;
    stalled(&mut report).await?;
    Ok(report)
}

/// Load, sign and flush, with the key store and without.
fn signatures(count: usize, report: &mut Report) -> Result<(), Failure> {
    let tpm = SoftwareTpm::start();
    let folder = tempfile::tempdir()?;
    let store = TpmKeyStore::open(&folder.path().join("keys"), &tpm.tcti())?;
    let key = store.open(&store.create(KeyKind::Sign, None)?)?;
    let mut bare = Bare::connect(&tpm.tcti())?;

    let empty = Samples::in_stretches_of(TURN);
    let (mut through, mut direct) = (empty.clone(), empty);
    for _ in 0..count.div_ceil(TURN) {
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

    let floor = ("bare load, sign, flush", &direct);
    report.row("sign", &through, floor, Compare::P50(REACH));
    let device = store.device()?;
    report.extra("tpm", device.model.unwrap_or_default());
    report.extra("simulator", device.simulator);
    Ok(())
}

/// Hits of one account while the TPM keeps the renewal of another waiting.
async fn stalled(report: &mut Report) -> Result<(), Failure> {
    let tpm = SoftwareTpm::start();
    let configuration = format!("key_protection = \"tpm\"\ntpm.tcti = \"{}\"\n", tpm.tcti());
    let world = World::create_with(&configuration).await?;
    let peer = Peer::connect(&world, Path::Socket).await?;
    let free = hits_for(&peer, STALL).await?;

    let waiting = world.socket_broker();
    let request = world.silent_request(1, CachePolicy::ForceRefresh);
    tpm.stall();
    let renewal = waiting.acquire_token_silent(request);
    tokio::pin!(renewal);
    let held = tokio::select! {
        hits = hits_for(&peer, STALL) => hits?,
        // It must still be waiting when the hits are through, or nothing was measured.
        early = &mut renewal => {
            return Err(format!("the TPM did not stall: {:?}", early.map(drop)).into());
        }
    };
    tpm.resume();
    renewal.await?;
    let floor = ("socket/hit, nothing stalled", &free);
    report.row("socket/hit, TPM stalled", &held, floor, Compare::P99(2.0));
    world.stop().await;
    Ok(())
}

/// Hits, one after the other, for some time.
async fn hits_for(peer: &Peer, time: Duration) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    let start = Instant::now();
    while start.elapsed() < time {
        samples.extend(repeat(100, || peer.hit()).await?);
    }
    Ok(samples)
}
