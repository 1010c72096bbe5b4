//! Accesses to guest memory: contents, sparseness, and faults that must be survived.

use std::io::Write;
use std::os::fd::AsFd;

use guestmem::{FetchOp, FileWindow, MemoryFile, PAGE_SIZE, preadv, pwritev};

fn memory() -> MemoryFile {
    guestmem::install_handler().unwrap();
    MemoryFile::new(1 << 40).unwrap()
}

#[test]
fn huge_and_sparse() {
    guestmem::install_handler().unwrap();
    let m = MemoryFile::new(1 << 45).unwrap();
    assert!(m.len() >= 1 << 40);
    assert_eq!(m.resident_bytes(), 0);
    let last = m.slice(m.len() - 4096, 4096).unwrap();
    last.copy_from(b"end").unwrap();
    assert_eq!(m.resident_bytes(), 4096);
    assert!(m.slice(m.len() - 4096, 4097).is_none());
    assert!(m.slice(u64::MAX, 2).is_none());
}

#[test]
fn copies_and_strings() {
    let m = memory();
    let s = m.slice(100, 5000).unwrap();
    s.fill(b'x').unwrap();
    s.copy_from(b"hello\0").unwrap();
    let mut buf = [1u8; 600];
    assert_eq!(s.copy_cstr(&mut buf).unwrap(), Some(5));
    assert_eq!(&buf[..5], b"hello");
    assert_eq!(s.find_byte(0).unwrap(), Some(5));
    assert_eq!(s.sub(6, 4000).unwrap().find_byte(0).unwrap(), None);
    assert_eq!(s.sub(6, 4000).unwrap().copy_cstr(&mut buf).unwrap(), None);
    assert!(s.sub(4999, 2).is_none());
    let to = m.slice(1 << 20, 6).unwrap();
    assert_eq!(s.copy_to_slice(to).unwrap(), 6);
    let mut six = [0u8; 6];
    to.copy_to(&mut six).unwrap();
    assert_eq!(&six, b"hello\0");
}

#[test]
fn holes_stay_holes() {
    let m = memory();
    let p = PAGE_SIZE;
    m.slice(p, p).unwrap().fill(7).unwrap();
    m.slice(10 * p, 2 * p).unwrap().fill(8).unwrap();
    m.copy_sparse(0, 1000 * p, 64 * p).unwrap();
    assert_eq!(m.resident_bytes(), 6 * p);
    assert_eq!(m.data_bytes(1000 * p, 64 * p), 3 * p);
    assert!(m.is_hole(1000 * p) && !m.is_hole(1001 * p));
    assert_eq!(m.next_data(1002 * p, 64 * p), Some((1010 * p, 2 * p)));
    let mut b = [0u8; 1];
    m.slice(1011 * p, 1).unwrap().copy_to(&mut b).unwrap();
    assert_eq!(b, [8]);
    m.punch(1000 * p, 64 * p).unwrap();
    assert_eq!(m.resident_bytes(), 3 * p);
    m.populate(2000 * p, 4 * p).unwrap();
    assert_eq!(m.resident_bytes(), 7 * p);
    assert!(m.punch(m.len() - p, 2 * p).is_err());
}

#[test]
fn truncated_file_is_survived() {
    guestmem::install_handler().unwrap();
    let mut f = tempfile();
    f.write_all(&[5u8; 8192]).unwrap();
    let w = FileWindow::new(f.as_fd(), 0, 4 * PAGE_SIZE, true).unwrap();
    let all = w.slice(0, 4 * PAGE_SIZE).unwrap();
    let mut buf = vec![0u8; 16384];
    assert_eq!(all.copy_to(&mut buf).unwrap_err().done, 8192);
    assert_eq!(buf[8191], 5);
    assert_eq!(all.copy_from(&buf).unwrap_err().done, 8192);
    assert_eq!(all.fill(1).unwrap_err().done, 8192);
    assert_eq!(all.find_byte(9).unwrap_err().done, 8192);
    f.set_len(0).unwrap();
    assert!(all.load_u32().is_err() && all.load_u64().is_err());
    assert!(all.compare_exchange_u32(0, 1).is_err());
    assert!(all.fetch_u32(FetchOp::Xor, 1).is_err());
    assert!(all.store_u64(1).is_err());
    assert_eq!(all.copy_to(&mut buf).unwrap_err().done, 0);
    let ro = FileWindow::new(f.as_fd(), 0, PAGE_SIZE, false).unwrap();
    f.set_len(4096).unwrap();
    let word = ro.slice(0, 8).unwrap();
    assert_eq!(word.load_u32(), Ok(0));
    assert!(word.store_u32(1).is_err(), "read-only window");
}

#[test]
fn words() {
    let m = memory();
    let w = m.slice(8, 8).unwrap();
    w.store_u32(5).unwrap();
    assert_eq!(w.load_u32(), Ok(5));
    assert_eq!(w.compare_exchange_u32(4, 9), Ok(5));
    assert_eq!(w.compare_exchange_u32(5, 9), Ok(5));
    assert_eq!(w.fetch_u32(FetchOp::Add, u32::MAX), Ok(9));
    assert_eq!(w.fetch_u32(FetchOp::Or, 0x10), Ok(8));
    assert_eq!(w.fetch_u32(FetchOp::AndNot, 8), Ok(0x18));
    assert_eq!(w.fetch_u32(FetchOp::Xor, 0x11), Ok(0x10));
    assert_eq!(w.fetch_u32(FetchOp::Set, 77), Ok(1));
    w.store_u64(1 << 40).unwrap();
    assert_eq!(w.compare_exchange_u64(1 << 40, 3), Ok(1 << 40));
    assert_eq!(w.load_u64(), Ok(3));
    assert!(m.slice(9, 8).unwrap().load_u32().is_err(), "misaligned");
    assert!(m.slice(8, 3).unwrap().load_u32().is_err(), "too short");
}

#[test]
fn host_io() {
    let m = memory();
    let f = tempfile();
    let a = m.slice(0, 10).unwrap();
    let b = m.slice(PAGE_SIZE * 7, 10).unwrap();
    a.copy_from(b"0123456789").unwrap();
    b.copy_from(b"abcdefghij").unwrap();
    assert_eq!(pwritev(f.as_fd(), 5, &[a, b]), Ok(20));
    assert_eq!(a.pread(f.as_fd(), 15), Ok(10));
    assert_eq!(preadv(f.as_fd(), 5, &[b]), Ok(10));
    let mut buf = [0u8; 10];
    a.copy_to(&mut buf).unwrap();
    assert_eq!(&buf, b"abcdefghij");
    assert_eq!(b.pwrite(f.as_fd(), 100), Ok(10));
    assert!(a.pread(f.as_fd(), u64::MAX).is_err());
}

fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(format!(
        "guestmem-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let f = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    f
}
