//! `bench broker`: what a brokered silent call costs beside a ping on the same path.

use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use keyward_client::ports::TokenBroker as _;
use keyward_client::request::CachePolicy;
use keyward_dev_authority::{Endpoint, Fault, FaultRule, Match};

use crate::peers::{Path, Peer};
use crate::report::{Compare, Report, rounded};
use crate::sample::{Samples, repeat};
use crate::scale;
use crate::world::{Failure, USERS, World};

/// Calls of one caller, or of all callers together, before hits and pings take turns: few, so that
/// both see the same machine, whatever else it does meanwhile.
const TURN: usize = 800;
/// Callers of the crowded cases.
const CROWD: usize = 32;
/// Turns of the crowded cases.
const CROWDED_TURNS: usize = 41;
/// Callers on each path whose calls memory is looked at for.
const MANY_CALLERS: usize = 8;
/// How long the authority stalls.
const STALL: Duration = Duration::from_secs(30);
/// Starts that are timed.
const STARTS: usize = 9;
/// Calls after which memory is looked at again.
const MANY_CALLS: usize = 100_000;

/// Arguments of `bench broker`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Calls per case of one caller.
    #[arg(long, default_value_t = 20_000)]
    calls: usize,
    /// Leave out Microsoft's runtime, which stands in the table for scale.
    #[arg(long)]
    without_msal: bool,
}

/// Runs it.
pub async fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let mut report = Report::new("broker");
    let mut world = World::create().await?;
    starts(&mut world, &mut report).await?;
    // Before anything else was asked of them.
    memory(&world, &mut report).await?;
    for path in Path::ALL {
        one_caller(&world, path, arguments.calls, &mut report).await?;
        crowd(&world, path, &mut report).await?;
    }
    stalled(&world, arguments.calls, &mut report).await?;
    world.stop().await;
    if !arguments.without_msal {
        scale::msal_node(&mut report)?;
    }
    Ok(report)
}

/// From the start of keywardd to its first answer.
async fn starts(world: &mut World, report: &mut Report) -> Result<(), Failure> {
    let mut samples = Samples::default();
    for _ in 0..STARTS {
        samples.push(world.restart_keywardd().await?);
    }
    report.extra("start_ms", rounded(samples.p50() / 1000.0));
    Ok(())
}

async fn one_caller(
    world: &World,
    path: Path,
    calls: usize,
    report: &mut Report,
) -> Result<(), Failure> {
    let peer = Peer::connect(world, path).await?;
    let turns = calls.div_ceil(TURN);
    let (hits, pings) = in_turns(std::slice::from_ref(&peer), turns).await?;
    let (name, floor) = path.names();
    report.row(name, &hits, (floor, &pings), Compare::P50(path.reach()));
    Ok(())
}

async fn crowd(world: &World, path: Path, report: &mut Report) -> Result<(), Failure> {
    let peers = try_join_all((0..CROWD).map(|_| Peer::connect(world, path))).await?;
    let (hits, pings) = in_turns(&peers, CROWDED_TURNS).await?;
    let (name, floor) = path.names();
    let by = Compare::P50(path.reach());
    report.row(
        &format!("{name}/{CROWD} callers"),
        &hits,
        (floor, &pings),
        by,
    );
    Ok(())
}

/// The peers make hits and pings in turns, as many of each.
async fn in_turns(peers: &[Peer], turns: usize) -> Result<(Samples, Samples), Failure> {
    let empty = Samples::in_stretches_of(TURN);
    let (mut hits, mut pings) = (empty.clone(), empty);
    let each = TURN / peers.len();
    for _ in 0..turns {
        for samples in try_join_all(peers.iter().map(|peer| repeat(each, || peer.ping()))).await? {
            pings.extend(samples);
        }
        for samples in try_join_all(peers.iter().map(|peer| repeat(each, || peer.hit()))).await? {
            hits.extend(samples);
        }
    }
    Ok((hits, pings))
}

/// Hits of one account while the authority keeps the renewal of another waiting.
async fn stalled(world: &World, calls: usize, report: &mut Report) -> Result<(), Failure> {
    let peer = Peer::connect(world, Path::Socket).await?;
    let free = repeat(calls, || peer.hit()).await?;
    let milliseconds = u64::try_from(STALL.as_millis())?;
    world.authority.fault(FaultRule {
        endpoint: Endpoint::Token,
        fault: Fault::Slow { ms: milliseconds },
        times: None,
        matching: Match {
            user: Some(USERS[1].to_owned()),
            ..Match::default()
        },
    })?;
    let stalling = world.socket_broker();
    let renewal = stalling.acquire_token_silent(world.silent_request(1, CachePolicy::ForceRefresh));
    let held = tokio::select! {
        // The renewal must still be waiting when the hits are through, or nothing was measured.
        hits = repeat(calls, || peer.hit()) => hits?,
        early = renewal => {
            return Err(format!("the authority did not stall: {:?}", early.map(drop)).into());
        }
    };
    world.authority.clear_faults();
    let by = Compare::P99(2.0);
    report.row(
        "socket/hit, other account stalled",
        &held,
        ("socket/hit, nothing stalled", &free),
        by,
    );
    Ok(())
}

/// Resident memory, idle and after many calls on all paths.
async fn memory(world: &World, report: &mut Report) -> Result<(), Failure> {
    let idle = world.resident_mib()?;
    let each = MANY_CALLS.div_ceil(Path::ALL.len() * MANY_CALLERS);
    for path in Path::ALL {
        let peers = (0..MANY_CALLERS).map(|_| Peer::connect(world, path));
        let peers = try_join_all(peers).await?;
        try_join_all(peers.iter().map(|peer| repeat(each, || peer.hit()))).await?;
    }
    let after = world.resident_mib()?;
    let growth = (after.0 - idle.0).max(after.1 - idle.1).max(0.0);
    report.extra("idle_rss_mib", rounded(idle.0.max(idle.1)));
    report.extra("idle_rss_keywardd_mib", rounded(idle.0));
    report.extra("idle_rss_keyward_session_mib", rounded(idle.1));
    report.extra("rss_after_calls_keywardd_mib", rounded(after.0));
    report.extra("rss_after_calls_keyward_session_mib", rounded(after.1));
    report.extra("rss_growth_mib", rounded(growth));
    report.extra("rss_growth_calls", MANY_CALLS);
    Ok(())
}
