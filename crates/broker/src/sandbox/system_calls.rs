//! seccomp: the system calls keywardd has no use for.
//!
//! A list of what is refused, not of what is allowed: name resolution, TLS, SQLite and the TPM's
//! library bring C code whose system calls differ between distributions and change with updates,
//! and a sign-in must not fail because of one nobody thought of. What is refused is what an
//! intruder needs next: another program, another process, another process's memory, the kernel's
//! less-trodden parts. The systemd units put systemd's own list of what *is* allowed on top.
//!
//! Refusals are errors, not the end: losing the holder of the tokens to a library that merely
//! tries something would be worse.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::{EPERM, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// Refused whatever the arguments are.
const REFUSED: &[c_long] = &[
    // Programs. keywardd executes nothing.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    // The kernel, and its parts that were broken out of most often.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
    libc::SYS_syslog,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    // Other views of files.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Other identities.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    // The machine's name and time.
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Its socket is bound already, and there will be no other.
    libc::SYS_listen,
];

/// Refused on this architecture, which has them for programs of old.
#[cfg(target_arch = "x86_64")]
const REFUSED_OF_OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OF_OLD: &[c_long] = &[];

/// Restricts the calling thread.
pub(super) fn restrict() -> Result<(), String> {
    for filter in [refusals(), new_ways()] {
        let program = filter.map_err(|error| error.to_string())?;
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    #[cfg(target_arch = "x86_64")]
    apply_filter(&other_numbers()).map_err(|error| error.to_string())?;
    Ok(())
}

/// What is refused, with or without a look at its arguments.
fn refusals() -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for call in REFUSED.iter().chain(REFUSED_OF_OLD) {
        rules.insert(*call, Vec::new());
    }
    rules.insert(libc::SYS_clone, vec![none_of(0, THREAD)?]);
    rules.insert(libc::SYS_socket, vec![other_family()?]);
    let executable = number(libc::PROT_EXEC);
    let both = number(libc::PROT_EXEC | libc::PROT_WRITE);
    rules.insert(libc::SYS_mmap, vec![all_of(2, both)?]);
    rules.insert(libc::SYS_mprotect, vec![all_of(2, executable)?]);
    rules.insert(libc::SYS_pkey_mprotect, vec![all_of(2, executable)?]);
    let terminal: Result<_, _> = TYPING.map(|request| is(1, request)).into_iter().collect();
    rules.insert(libc::SYS_ioctl, terminal?);
    rules.insert(libc::SYS_prctl, looked_into()?);
    let refuse = SeccompAction::Errno(EPERM.unsigned_abs());
    compile(rules, SeccompAction::Allow, refuse)
}

/// Typing into a terminal in the person's place: `TIOCSTI` and `TIOCLINUX`, whose type differs
/// between C libraries.
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// The flag of a new thread; without it, it is a new process.
const THREAD: u64 = number(libc::CLONE_THREAD);

/// Where arguments are in memory, out of a filter's sight: libraries use the older call instead
/// when they are told that there is no such one.
fn new_ways() -> Result<BpfProgram, BackendError> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let refuse = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    compile(rules, SeccompAction::Allow, refuse)
}

/// The x32 ABI's numbers for the same calls, which no filter above would recognise: nobody uses it.
#[cfg(target_arch = "x86_64")]
fn other_numbers() -> BpfProgram {
    use seccompiler::sock_filter;
    const X32: u32 = 0x4000_0000;
    let step = |code: u32, jt, k| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf: 0,
        k,
    };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![
        // The number is the first field of `seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, refuse),
    ]
}

/// For the reader of links: what it takes to wait, to allocate, to end, to read a link, and to say
/// what file it leads to.
pub(super) fn only_links() -> Result<(), String> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ONLY_LINKS.iter().map(|call| (*call, Vec::new())).collect();
    let data = || none_of(2, number(libc::PROT_EXEC));
    let program = data()
        .and_then(|mmap| Ok((mmap, data()?)))
        .and_then(|(mmap, mprotect)| {
            rules.insert(libc::SYS_mmap, vec![mmap]);
            rules.insert(libc::SYS_mprotect, vec![mprotect]);
            let refuse = SeccompAction::Errno(EPERM.unsigned_abs());
            compile(rules, refuse, SeccompAction::Allow)
        })
        .map_err(|error| error.to_string())?;
    #[cfg(target_arch = "x86_64")]
    apply_filter(&other_numbers()).map_err(|error| error.to_string())?;
    // Last, because it allows no further filter.
    apply_filter(&program).map_err(|error| error.to_string())
}

const ONLY_LINKS: &[c_long] = &[
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_futex,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn compile(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let architecture = TargetArch::try_from(ARCH)?;
    SeccompFilter::new(rules, otherwise, matching, architecture)?.try_into()
}

/// Any other kind of socket than those of local processes, of the internet, and of the kernel for
/// name resolution.
fn other_family() -> Result<SeccompRule, BackendError> {
    let known = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let conditions: Result<_, _> = known
        .map(|family| condition(0, SeccompCmpOp::Ne, number(family)))
        .into_iter()
        .collect();
    SeccompRule::new(conditions?)
}

/// Letting others look into this process: being dumpable again, naming a tracer.
fn looked_into() -> Result<Vec<SeccompRule>, BackendError> {
    let dumpable = SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Eq, number(libc::PR_SET_DUMPABLE))?,
        condition(1, SeccompCmpOp::Ne, 0)?,
    ])?;
    let tracer = condition(0, SeccompCmpOp::Eq, number(libc::PR_SET_PTRACER))?;
    Ok(vec![dumpable, SeccompRule::new(vec![tracer])?])
}

fn is(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, value)?])
}

fn all_of(argument: u8, bits: u64) -> Result<SeccompRule, BackendError> {
    let all = condition(argument, SeccompCmpOp::MaskedEq(bits), bits)?;
    SeccompRule::new(vec![all])
}

fn none_of(argument: u8, bits: u64) -> Result<SeccompRule, BackendError> {
    let none = condition(argument, SeccompCmpOp::MaskedEq(bits), 0)?;
    SeccompRule::new(vec![none])
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// A constant of the kernel's as filters compare it.
const fn number(constant: i32) -> u64 {
    constant.cast_unsigned() as u64
}
