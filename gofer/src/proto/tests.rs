//! Requests over the wire and back.

use zerocopy::byteorder::little_endian::U64;

use super::call::{Call, NewFile, RenameFlags};
use super::{Handle, NAME_MAX};
use crate::attr::{SetAttr, SetTime, Time};

fn round_trip(call: Call<'_>) {
    let mut bytes = Vec::new();
    call.encode(7, &mut bytes);
    assert_eq!(Call::decode(&bytes), Ok((7, call)));
    for cut in 0..bytes.len() {
        assert!(
            Call::decode(&bytes[..cut]).is_err(),
            "{call:?} cut at {cut}"
        );
    }
}

#[test]
fn requests_survive_the_wire_and_truncation_is_seen() {
    let (dir, name) = (Handle(3), b"name".as_slice());
    let new = NewFile {
        mode: 0o644,
        uid: 1000,
        gid: u32::MAX,
    };
    round_trip(Call::Lookup { dir, name });
    round_trip(Call::Create {
        dir,
        name,
        new,
        excl: true,
    });
    round_trip(Call::Symlink {
        dir,
        name,
        target: b"../x",
        new,
    });
    round_trip(Call::Rename {
        dir,
        name,
        new_dir: Handle(9),
        new_name: b"other",
        flags: RenameFlags::EXCHANGE,
    });
    round_trip(Call::Unlink {
        dir,
        name,
        forget: Some(Handle(4)),
    });
    round_trip(Call::SetAttr {
        file: dir,
        set: SetAttr {
            mode: Some(0o4755),
            uid: Some(u32::MAX - 1),
            gid: Some(7),
            size: None,
            atime: Some(SetTime::Now),
            mtime: Some(SetTime::At(Time { sec: -5, nsec: 9 })),
        },
    });
    round_trip(Call::Pwrite {
        file: dir,
        offset: u64::MAX,
        data: b"data",
    });
    round_trip(Call::Forget {
        handles: &[U64::new(1), U64::new(2)],
    });
}

#[test]
fn names_that_are_no_component_are_refused() {
    let long = [b'a'; NAME_MAX + 1];
    let names: [&[u8]; 7] = [b"", b".", b"..", b"a/b", b"/", b"a\0b", &long];
    for name in names {
        let mut bytes = Vec::new();
        Call::Lookup {
            dir: Handle(1),
            name,
        }
        .encode(1, &mut bytes);
        assert!(Call::decode(&bytes).is_err(), "{name:?}");
    }
}
