//! The few TPM 2.0 commands tests give themselves, as octets (TPM 2.0 Library, part 3).

/// A command without authorization.
const NO_SESSIONS: u16 = 0x8001;
/// A command with authorization.
const SESSIONS: u16 = 0x8002;

const CLEAR: u32 = 0x126;
const DICTIONARY_ATTACK_PARAMETERS: u32 = 0x13a;
const HIERARCHY_CHANGE_AUTH: u32 = 0x129;
const CREATE_PRIMARY: u32 = 0x131;
const FLUSH_CONTEXT: u32 = 0x165;

const OWNER: u32 = 0x4000_0001;
const LOCKOUT: u32 = 0x4000_000a;

/// An empty password: size of the area, its handle, no nonce, no attributes, no value.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];

/// TPM2_Clear, authorized by the lockout hierarchy.
pub(super) fn clear() -> Vec<u8> {
    authorized(CLEAR, LOCKOUT, &[])
}

/// TPM2_DictionaryAttackParameters: no wrong value is allowed, so that the TPM is locked at once.
pub(super) fn lock_out() -> Vec<u8> {
    let (tries, recovery, lockout_recovery) = (0_u32, 600_u32, 600_u32);
    let parameters = [tries, recovery, lockout_recovery].map(u32::to_be_bytes);
    authorized(DICTIONARY_ATTACK_PARAMETERS, LOCKOUT, &parameters.concat())
}

/// TPM2_HierarchyChangeAuth for the owner.
pub(super) fn set_owner_auth(auth: &[u8]) -> Vec<u8> {
    let length = u16::try_from(auth.len()).expect("an authorization value is short");
    authorized(
        HIERARCHY_CHANGE_AUTH,
        OWNER,
        &[&length.to_be_bytes(), auth].concat(),
    )
}

/// TPM2_CreatePrimary of a P-256 storage key for the owner.
pub fn create_primary() -> Vec<u8> {
    const SENSITIVE: [u8; 6] = [0, 4, 0, 0, 0, 0];
    #[rustfmt::skip]
    const PUBLIC: [u8; 28] = [
        0, 26,                  // size
        0, 0x23, 0, 0x0b,       // ECC, named by SHA-256
        0, 3, 4, 0x72,          // restricted, decrypt, noDA, userWithAuth, made there, fixed
        0, 0,                   // no policy
        0, 6, 0, 0x80, 0, 0x43, // AES-128-CFB
        0, 0x10, 0, 3, 0, 0x10, // no scheme, P-256, no KDF
        0, 0, 0, 0,             // no unique part
    ];
    const NO_DATA_NO_PCRS: [u8; 6] = [0; 6];
    let parameters = [SENSITIVE.as_slice(), &PUBLIC, &NO_DATA_NO_PCRS].concat();
    authorized(CREATE_PRIMARY, OWNER, &parameters)
}

/// TPM2_FlushContext.
pub fn flush(handle: u32) -> Vec<u8> {
    command(NO_SESSIONS, FLUSH_CONTEXT, &handle.to_be_bytes())
}

fn authorized(code: u32, handle: u32, parameters: &[u8]) -> Vec<u8> {
    let rest = [&handle.to_be_bytes(), EMPTY_PASSWORD.as_slice(), parameters].concat();
    command(SESSIONS, code, &rest)
}

fn command(tag: u16, code: u32, rest: &[u8]) -> Vec<u8> {
    let size = u32::try_from(10 + rest.len()).expect("a command is short");
    [
        &tag.to_be_bytes(),
        size.to_be_bytes().as_slice(),
        &code.to_be_bytes(),
        rest,
    ]
    .concat()
}

/// The response code of an answer.
pub fn code(answer: &[u8]) -> u32 {
    word(answer, 6)
}

/// The handle an answer begins with.
pub fn first_handle(answer: &[u8]) -> u32 {
    word(answer, 10)
}

/// The public area in the answer to [`create_primary`].
pub fn public_area(answer: &[u8]) -> &[u8] {
    let size = usize::from(u16::from_be_bytes([answer[18], answer[19]]));
    &answer[20..20 + size]
}

fn word(answer: &[u8], at: usize) -> u32 {
    let bytes = answer
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_else(|| panic!("a TPM's answer is longer: {answer:02x?}")))
}
