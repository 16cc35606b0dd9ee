use proptest::prelude::*;
use zbus::message::Message;
use zbus::wire::Endian;

use super::*;

/// Read at once.
const ROOM: usize = 2048;

/// Everything a reader gets that reads `input` through the guard in pieces of `piece` bytes.
fn read_all(input: &[u8], received: usize, piece: usize) -> io::Result<Vec<u8>> {
    let (first, rest) = input.split_at(received.min(input.len()));
    let mut guard = GuardedRead::new(rest, first.to_vec(), ROOM);
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let mut output = Vec::new();
            let mut buffer = vec![0; piece];
            loop {
                match guard.read(&mut buffer).await? {
                    0 => return Ok(output),
                    length => output.extend_from_slice(&buffer[..length]),
                }
            }
        })
}

fn call(text: &str, endian: Endian) -> Vec<u8> {
    Message::method_call("/com/example/Thing", "Act")
        .interface("com.example.Thing1")
        .destination("com.example.Thing")
        .sender(":1.42")
        .endian(endian)
        .build(&("0.0", "11111111-2222-3333-4444-555555555555", text))
        .unwrap()
        .data()
        .to_vec()
}

/// The messages in `bytes`, as zbus reads them: member, sender, and arguments.
fn messages(bytes: &[u8]) -> Vec<(String, String, Vec<String>)> {
    let mut guard = GuardedRead::new(io::Cursor::new(bytes.to_vec()), Vec::new(), ROOM);
    let mut seen = Vec::new();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            while let Ok(message) = guard
                .receive_message(0, &mut Vec::new(), &mut Vec::new())
                .await
            {
                let header = message.header();
                let body = message.body();
                let arguments = match body.deserialize::<(String, String, String)>() {
                    Ok((a, b, c)) => vec![a, b, c],
                    Err(_) => vec![body.deserialize::<String>().unwrap()],
                };
                seen.push((
                    header.member().unwrap().to_string(),
                    header.sender().unwrap().to_string(),
                    arguments,
                ));
            }
        });
    seen
}

#[test]
fn small_messages_pass_as_they_are() {
    let mut input = call("one", Endian::Little);
    input.extend(call(&"x".repeat(100_000), Endian::Big));
    input.extend(call(&"y".repeat(MAX_PAYLOAD), Endian::Little));
    for (received, piece) in [(0, 1), (3, 16), (20, 7), (500, 100_000), (usize::MAX, 4096)] {
        assert_eq!(read_all(&input, received, piece).unwrap(), input);
    }
}

#[test]
fn a_large_message_is_replaced_and_the_next_one_is_whole() {
    for endian in [Endian::Little, Endian::Big] {
        let mut input = call(&"x".repeat(3 * MAX_PAYLOAD), endian);
        input.extend(call("after", endian));
        let output = read_all(&input, 0, 333).unwrap();
        assert!(output.len() < 1000);
        let seen = messages(&output);
        assert_eq!(seen.len(), 2);
        assert_eq!(
            seen[0],
            (
                "Act".to_owned(),
                ":1.42".to_owned(),
                vec![MARKER.to_owned()]
            )
        );
        assert_eq!(seen[1].2[2], "after");
        // The same through zbus itself.
        assert_eq!(messages(&input), seen);
    }
}

#[test]
fn a_large_message_does_not_stay_in_memory() {
    let input = call(&"x".repeat(100 * MAX_PAYLOAD), Endian::Little);
    let mut guard = GuardedRead::new(&input[..], Vec::new(), ROOM);
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let mut buffer = [0; 512];
            while guard.read(&mut buffer).await.unwrap() > 0 {
                assert!(guard.input.capacity() <= 4 * ROOM);
            }
        });
}

/// A message with one more header field: code 10, with a number or, in a way nobody can read, with
/// something else.
fn with_unknown_field(message: &[u8], kind: u8) -> Vec<u8> {
    let length = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap()) as usize;
    let fields_end = 16 + length(12);
    let mut changed = message[..fields_end].to_vec();
    changed.resize(changed.len().next_multiple_of(8), 0);
    changed.extend([10, 1, kind, 0, 1, 0, 0, 0]);
    let fields = u32::try_from(changed.len() - 16).unwrap();
    changed[12..16].copy_from_slice(&fields.to_le_bytes());
    changed.extend(&message[fields_end.next_multiple_of(8)..]);
    changed
}

#[test]
fn fields_and_types_nobody_knows_are_ignored() {
    let ordinary = call("one", Endian::Little);
    let mut input = with_unknown_field(&ordinary, b'u');
    input.extend(with_unknown_field(&ordinary, b'v'));
    let mut of_unknown_type = ordinary.clone();
    of_unknown_type[1] = 77;
    input.extend(of_unknown_type);
    input.extend(&ordinary);
    let seen = messages(&read_all(&input, 0, 50).unwrap());
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn what_is_no_dbus_is_an_error() {
    let mut unknown_order = call("one", Endian::Little);
    unknown_order[0] = b'x';
    assert!(read_all(&unknown_order, 0, 64).is_err());
    let mut too_long = call("one", Endian::Little);
    too_long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read_all(&too_long, 0, 64).is_err());
}

#[test]
fn a_cut_off_message_ends_the_stream() {
    let input = call("one", Endian::Little);
    for end in 0..input.len() {
        let output = read_all(&input[..end], 0, 64).unwrap();
        assert!(output.len() <= end);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(input: Vec<u8>, received in 0_usize..64, piece in 1_usize..64) {
        if let Ok(output) = read_all(&input, received, piece) {
            prop_assert!(output.len() <= input.len());
        }
    }

    #[test]
    fn any_header_is_survived(
        kind in 0_u8..6,
        fields in 0_u32..100_000,
        body in 1_000_000_u32..3_000_000,
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut input = vec![b'l', kind, 0, 1];
        input.extend(body.to_le_bytes());
        input.extend(1_u32.to_le_bytes());
        input.extend(fields.to_le_bytes());
        input.extend(noise);
        let _ = read_all(&input, 0, 64);
    }

}

proptest! {
    // Each case moves megabytes.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_mix_of_sizes_keeps_the_messages_apart(
        sizes in prop::collection::vec(prop_oneof![0_usize..300, Just(2 * MAX_PAYLOAD)], 1..6),
        piece in 1_usize..5000,
    ) {
        let input: Vec<u8> = sizes
            .iter()
            .flat_map(|size| call(&"z".repeat(*size), Endian::Little))
            .collect();
        let seen = messages(&read_all(&input, 0, piece).unwrap());
        prop_assert_eq!(seen.len(), sizes.len());
        for (size, (_, _, arguments)) in sizes.iter().zip(seen) {
            if *size > MAX_PAYLOAD {
                prop_assert_eq!(&arguments[0], MARKER);
            } else {
                prop_assert_eq!(arguments[2].len(), *size);
            }
        }
    }
}
