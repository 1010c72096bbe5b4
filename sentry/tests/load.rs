//! Loading programs: a tiny one, and thousands of broken ones.

use std::any::Any;
use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use guestmem::MemoryFile;
use platform::Platform;
use platform::mock::MockPlatform;
use sentry::Result;
use sentry::creds::Creds;
use sentry::fs::file::{File, FileOps, IoCx, OpenFlags};
use sentry::io::IoDst;
use sentry::load::{Program, StartInfo, load};
use sentry::mm::{Backing, FrameRange, Frames, MapIdentity, Mappable, Mm, MmLimits};

/// A file in memory frames.
#[derive(Clone)]
struct Bytes {
    frames: Arc<Frames>,
    range: FrameRange,
    len: u64,
}

impl Bytes {
    fn new(frames: &Arc<Frames>, data: &[u8]) -> Bytes {
        let range = frames.alloc(data.len().max(1) as u64).unwrap();
        let slice = frames.slice(range.offset, range.len).unwrap();
        slice.copy_from(data).unwrap();
        Bytes {
            frames: Arc::clone(frames),
            range,
            len: data.len() as u64,
        }
    }

    fn file(&self) -> Arc<File> {
        File::anonymous(Arc::new(self.clone()), OpenFlags::empty())
    }
}

impl FileOps for Bytes {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let left = self.len.saturating_sub(pos);
        if left == 0 {
            return Ok(0);
        }
        dst.put_slice(self.frames.slice(self.range.offset + pos, left)?)
    }
    fn mappable(&self) -> Result<Arc<dyn Mappable>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Mappable for Bytes {
    fn frames(&self, offset: u64, len: u64, _write: bool) -> Result<Backing> {
        let left = self.range.len.checked_sub(offset).filter(|l| *l > 0);
        Ok(Backing::Memory {
            offset: self.range.offset + offset,
            len: left.ok_or(Errno::ENXIO)?.min(len),
        })
    }
    fn size(&self) -> u64 {
        self.len
    }
    fn identity(&self) -> MapIdentity {
        MapIdentity::default()
    }
}

/// An ELF file with code at 0x400000 and 3 pages of data, half a page of it from the file.
fn elf() -> Vec<u8> {
    let mut f = Vec::new();
    f.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2u16, 62] {
        f.extend(half.to_le_bytes());
    }
    f.extend(1u32.to_le_bytes());
    for word in [0x40_0100u64, 64, 0] {
        f.extend(word.to_le_bytes());
    }
    f.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 3, 0, 0, 0] {
        f.extend(half.to_le_bytes());
    }
    for (kind, flags, words) in [
        (1u32, 5u32, [0u64, 0x40_0000, 0, 0x1000, 0x1000, 0x1000]),
        (1, 6, [0x1000, 0x40_1000, 0, 0x800, 0x3000, 0x1000]),
        (0x6474_e551, 6, [0; 6]),
    ] {
        f.extend(kind.to_le_bytes());
        f.extend(flags.to_le_bytes());
        words.iter().for_each(|w| f.extend(w.to_le_bytes()));
    }
    f.resize(0x1800, 0xab);
    f
}

struct Rig {
    platform: Arc<MockPlatform>,
    frames: Arc<Frames>,
}

impl Rig {
    fn new() -> Rig {
        guestmem::install_handler().unwrap();
        let memory = Arc::new(MemoryFile::new(1 << 42).unwrap());
        Rig {
            platform: MockPlatform::new(1, &[]),
            frames: Frames::new(memory),
        }
    }

    fn run(
        &self,
        file: Arc<File>,
        argv: &[&str],
        open: impl Fn(&[u8]) -> Result<Arc<File>>,
    ) -> Result<(Arc<Mm>, platform::Registers)> {
        let argv = argv.iter().map(|a| a.as_bytes().to_vec()).collect();
        let program = Program::open_with(file, b"/bin/prog".to_vec(), argv, open)?;
        let space = self.platform.new_address_space().unwrap();
        let mm = Mm::new(space, Arc::clone(&self.frames), self.platform.guest_range());
        let info = StartInfo {
            envp: &[b"A=1".to_vec()],
            creds: &Creds::root(),
            secure: false,
            limits: MmLimits {
                stack: 8 << 20,
                ..MmLimits::NONE
            },
            randomise: true,
        };
        let regs = load(&mm, &program, &info)?;
        Ok((mm, regs))
    }
}

fn word(mm: &Mm, at: u64) -> u64 {
    let mut b = [0; 8];
    mm.copy_in(at, &mut b).unwrap();
    u64::from_le_bytes(b)
}

fn none(_: &[u8]) -> Result<Arc<File>> {
    Err(Errno::ENOENT)
}

#[test]
fn segments_and_stack() {
    let rig = Rig::new();
    let file = Bytes::new(&rig.frames, &elf()).file();
    let (mm, regs) = rig.run(file, &["prog", "x"], none).unwrap();
    assert_eq!(regs.gp.rip, 0x40_0100);
    assert_eq!(regs.gp.rsp % 16, 0);
    assert_eq!(word(&mm, 0x40_17f8), 0xabab_abab_abab_abab);
    assert_eq!((word(&mm, 0x40_1800), word(&mm, 0x40_3ff8)), (0, 0));
    assert!(mm.copy_out(0x40_0000, &[0]).is_err());
    mm.copy_out(0x40_1000, &[1]).unwrap();
    let sp = regs.gp.rsp;
    assert_eq!(word(&mm, sp), 2);
    assert_eq!(mm.copy_in_cstr(word(&mm, sp + 16), 100).unwrap(), b"x");
    assert_eq!((word(&mm, sp + 24), word(&mm, sp + 40)), (0, 0));
    assert_eq!(mm.copy_in_cstr(word(&mm, sp + 32), 100).unwrap(), b"A=1");
    let (start, end) = mm.heap();
    assert!(start == end && start >= 0x40_4000);
    let text = String::from_utf8(mm.maps_text()).unwrap();
    assert!(
        text.contains("[stack]") && !text.contains("[heap]"),
        "{text}"
    );
}

#[test]
fn scripts_rewrite_arguments() {
    let rig = Rig::new();
    let real = Bytes::new(&rig.frames, &elf());
    let inner = Bytes::new(&rig.frames, b"#!/real -a b \n");
    let outer = Bytes::new(&rig.frames, b"#! /inner\n");
    let open = |name: &[u8]| match name {
        b"/real" => Ok(real.file()),
        b"/inner" => Ok(inner.file()),
        _ => Err(Errno::ENOENT),
    };
    let (mm, regs) = rig.run(outer.file(), &["zero", "one"], open).unwrap();
    let sp = regs.gp.rsp;
    let args: Vec<_> = (0..word(&mm, sp))
        .map(|i| mm.copy_in_cstr(word(&mm, sp + 8 + 8 * i), 100).unwrap())
        .collect();
    let want: [&[u8]; 5] = [b"/real", b"-a b", b"/inner", b"/bin/prog", b"one"];
    assert_eq!(args, want);
    let own = Bytes::new(&rig.frames, b"#!/self\n");
    let e = rig.run(own.file(), &[], |_| Ok(own.file()));
    assert_eq!(e.err(), Some(Errno::ELOOP));
}

#[test]
fn broken_files_are_refused() {
    let rig = Rig::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut data = elf();
        for _ in 0..=random() % 4 {
            let at = (random() % 232) as usize;
            let wild = [0, 0xff, 0x7f, 0x80, random() as u8];
            let n = if random() % 2 == 0 { 8 } else { 1 };
            let byte = wild[(random() % 5) as usize];
            data[at..(at + n).min(232)].fill(byte);
        }
        if random() % 16 == 0 {
            data.truncate((random() % 300) as usize);
        }
        let bytes = Bytes::new(&rig.frames, &data);
        match rig.run(bytes.file(), &["p"], |_| Ok(bytes.file())) {
            Ok(_) => loaded += 1,
            Err(_) => refused += 1,
        }
        rig.frames.release(bytes.range);
    }
    assert!(loaded > 100 && refused > 100, "{loaded} {refused}");
    assert_eq!(rig.frames.reserved(), 0);
    assert_eq!(rig.frames.file().resident_bytes() / PAGE_SIZE, 0);
}
